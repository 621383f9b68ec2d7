// The one place where an instruction set is chosen.
#include "CMicrokernels.h"

void ek_embed_f32_plain(const ek_embed_tile *tile);
void ek_embed_f32_neon(const ek_embed_tile *tile);
void ek_embed_f32_avx2(const ek_embed_tile *tile);
void ek_embed_f32_avx512(const ek_embed_tile *tile);
void ek_normalize_f32_plain(const ek_normalize_tile *tile);
void ek_normalize_gradient_f32_plain(const ek_normalize_gradient_tile *tile);
void ek_normalize_f32_neon(const ek_normalize_tile *tile);
void ek_normalize_gradient_f32_neon(const ek_normalize_gradient_tile *tile);
void ek_normalize_f32_avx2(const ek_normalize_tile *tile);
void ek_normalize_gradient_f32_avx2(const ek_normalize_gradient_tile *tile);
void ek_normalize_f32_avx512(const ek_normalize_tile *tile);
void ek_normalize_gradient_f32_avx512(const ek_normalize_gradient_tile *tile);

// The compiler vectorises the plain loops for NEON.
#define TYPED(set) .embed_typed = ek_embed_typed_##set, .convert = ek_convert_##set
#define DECLARE_TYPED(set)                              \
  void ek_embed_typed_##set(const ek_typed_tile *tile); \
  void ek_convert_##set(const void *from, ek_element input, void *to, ek_element output, size_t count)
DECLARE_TYPED(plain);
DECLARE_TYPED(avx2);
DECLARE_TYPED(avx512);

#define NORMALIZE(set) .normalize_f32 = ek_normalize_f32_##set, .normalize_gradient_f32 = ek_normalize_gradient_f32_##set

static const ek_kernels plain = {"plain C", ek_embed_f32_plain,
  TYPED(plain), NORMALIZE(plain)};
#if defined(__aarch64__)
static const ek_kernels neon = {"NEON", ek_embed_f32_neon,
  TYPED(plain), NORMALIZE(neon)};
#endif
#if defined(__x86_64__)
static const ek_kernels avx2 = {"AVX2", ek_embed_f32_avx2,
  TYPED(avx2), NORMALIZE(avx2)};
static const ek_kernels avx512 = {"AVX-512", ek_embed_f32_avx512,
  TYPED(avx512), NORMALIZE(avx512)};
#endif

const ek_kernels *ek_kernels_for(ek_instruction_set set) {
  switch (set) {
    case EK_PLAIN: return &plain;
#if defined(__aarch64__)
    case EK_NEON: return &neon;
#endif
#if defined(__x86_64__)
    case EK_AVX2:
      // Every CPU with AVX2 so far has F16C; the typed kernels need both.
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c") ? &avx2 : NULL;
    case EK_AVX512: return __builtin_cpu_supports("avx512f") ? &avx512 : NULL;
#endif
    default: return NULL;
  }
}
