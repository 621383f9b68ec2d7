// The one place where an instruction set is chosen.
#include "CMicrokernels.h"

void ek_embed_f32_plain(const ek_embed_tile *tile);
void ek_embed_f32_neon(const ek_embed_tile *tile);
void ek_embed_f32_avx2(const ek_embed_tile *tile);
void ek_embed_f32_avx512(const ek_embed_tile *tile);

void ek_sum_rows_f32_plain(const ek_row_sum *work);
void ek_sum_rows_f32_neon(const ek_row_sum *work);
void ek_sum_rows_f32_avx2(const ek_row_sum *work);
void ek_sum_rows_f32_avx512(const ek_row_sum *work);

extern const ek_step_kernels ek_steps_plain, ek_steps_avx2, ek_steps_avx512;

static const ek_kernels plain = {
    .name = "plain C", .embed_f32 = ek_embed_f32_plain, .sum_rows_f32 = ek_sum_rows_f32_plain,
    .steps = &ek_steps_plain};
#if defined(__aarch64__)
static const ek_kernels neon = {
    .name = "NEON", .embed_f32 = ek_embed_f32_neon, .sum_rows_f32 = ek_sum_rows_f32_neon,
    .steps = &ek_steps_plain};
#endif
#if defined(__x86_64__)
static const ek_kernels avx2 = {
    .name = "AVX2", .embed_f32 = ek_embed_f32_avx2, .sum_rows_f32 = ek_sum_rows_f32_avx2,
    .steps = &ek_steps_avx2};
static const ek_kernels avx512 = {
    .name = "AVX-512", .embed_f32 = ek_embed_f32_avx512, .sum_rows_f32 = ek_sum_rows_f32_avx512,
    .steps = &ek_steps_avx512};
#endif

const ek_kernels *ek_kernels_for(ek_instruction_set set) {
  switch (set) {
    case EK_PLAIN: return &plain;
#if defined(__aarch64__)
    case EK_NEON: return &neon;
#endif
#if defined(__x86_64__)
    case EK_AVX2: return __builtin_cpu_supports("avx2") ? &avx2 : NULL;
    case EK_AVX512: return __builtin_cpu_supports("avx512f") ? &avx512 : NULL;
#endif
    default: return NULL;
  }
}
