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

void ek_add_by_distance_f32_plain(const ek_distance_tile *tile);
void ek_sum_by_distance_f32_plain(const ek_distance_tile *tile);
void ek_add_by_distance_f32_neon(const ek_distance_tile *tile);
void ek_sum_by_distance_f32_neon(const ek_distance_tile *tile);
void ek_add_by_distance_f32_avx2(const ek_distance_tile *tile);
void ek_sum_by_distance_f32_avx2(const ek_distance_tile *tile);
void ek_add_by_distance_f32_avx512(const ek_distance_tile *tile);
void ek_sum_by_distance_f32_avx512(const ek_distance_tile *tile);
void ek_products_f32_plain(const ek_product_tile *tile);
void ek_combine_f32_plain(const ek_product_tile *tile);
void ek_outer_f32_plain(const ek_product_tile *tile);
void ek_products_f32_avx2(const ek_product_tile *tile);
void ek_combine_f32_avx2(const ek_product_tile *tile);
void ek_outer_f32_avx2(const ek_product_tile *tile);
void ek_products_f32_avx512(const ek_product_tile *tile);
void ek_combine_f32_avx512(const ek_product_tile *tile);
void ek_outer_f32_avx512(const ek_product_tile *tile);

#define PRODUCTS(set)                                                            \
  .products_f32 = ek_products_f32_##set, .combine_f32 = ek_combine_f32_##set,    \
  .outer_f32 = ek_outer_f32_##set

#define DISTANCE(set)                                    \
  .add_by_distance_f32 = ek_add_by_distance_f32_##set,   \
  .sum_by_distance_f32 = ek_sum_by_distance_f32_##set

static const ek_kernels plain = {
    .name = "plain C", .embed_f32 = ek_embed_f32_plain, .sum_rows_f32 = ek_sum_rows_f32_plain,
    DISTANCE(plain), PRODUCTS(plain)};
#if defined(__aarch64__)
static const ek_kernels neon = {
    .name = "NEON", .embed_f32 = ek_embed_f32_neon, .sum_rows_f32 = ek_sum_rows_f32_neon,
    DISTANCE(neon), PRODUCTS(plain)};
#endif
#if defined(__x86_64__)
static const ek_kernels avx2 = {
    .name = "AVX2", .embed_f32 = ek_embed_f32_avx2, .sum_rows_f32 = ek_sum_rows_f32_avx2,
    DISTANCE(avx2), PRODUCTS(avx2)};
static const ek_kernels avx512 = {
    .name = "AVX-512", .embed_f32 = ek_embed_f32_avx512, .sum_rows_f32 = ek_sum_rows_f32_avx512,
    DISTANCE(avx512), PRODUCTS(avx512)};
#endif

const ek_kernels *ek_kernels_for(ek_instruction_set set) {
  switch (set) {
    case EK_PLAIN: return &plain;
#if defined(__aarch64__)
    case EK_NEON: return &neon;
#endif
#if defined(__x86_64__)
    case EK_AVX2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &avx2 : NULL;
    case EK_AVX512: return __builtin_cpu_supports("avx512f") ? &avx512 : NULL;
#endif
    default: return NULL;
  }
}
