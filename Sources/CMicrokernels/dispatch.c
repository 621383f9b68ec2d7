// The one place where an instruction set is chosen. A new kernel is one line in each macro.
#include "CMicrokernels.h"

#define DECLARE(set)                                                                    \
  void ek_embed_f32_##set(const ek_embed_tile *);                                       \
  void ek_embed_typed_##set(const ek_typed_tile *);                                     \
  void ek_convert_##set(const void *, ek_element, void *, ek_element, size_t);          \
  void ek_sum_rows_f32_##set(const ek_row_sum *);                                       \
  void ek_rotate_f32_##set(const ek_rotary_tile *);                                     \
  void ek_rotate_half_##set(const ek_rotary_tile *);                                    \
  void ek_add_by_distance_f32_##set(const ek_distance_tile *);                          \
  void ek_sum_by_distance_f32_##set(const ek_distance_tile *);                          \
  void ek_add_by_distance_typed_##set(const ek_distance_tile *);                        \
  void ek_sum_by_distance_typed_##set(const ek_distance_tile *);                        \
  void ek_products_f32_##set(const ek_product_tile *);                                  \
  void ek_combine_f32_##set(const ek_product_tile *);                                   \
  void ek_outer_f32_##set(const ek_product_tile *);                                     \
  void ek_normalize_f32_##set(const ek_normalize_tile *);                               \
  void ek_normalize_gradient_f32_##set(const ek_normalize_gradient_tile *)

extern const ek_step_kernels ek_steps_plain, ek_steps_avx2, ek_steps_avx512;

/// The kernels of `set`; those of two-byte elements are of `typed`, others that not every set has of
/// `other`.
#define KERNELS(set, typed, other)                              \
  {                                                             \
      .embed_f32 = ek_embed_f32_##set,                          \
      .embed_typed = ek_embed_typed_##typed,                    \
      .convert = ek_convert_##typed,                            \
      .sum_rows_f32 = ek_sum_rows_f32_##set,                    \
      .rotate_f32 = ek_rotate_f32_##set,                        \
      .rotate_half = ek_rotate_half_##other,                    \
      .add_by_distance_f32 = ek_add_by_distance_f32_##set,      \
      .sum_by_distance_f32 = ek_sum_by_distance_f32_##set,      \
      .add_by_distance_typed = ek_add_by_distance_typed_##other, \
      .sum_by_distance_typed = ek_sum_by_distance_typed_##other, \
      .products_f32 = ek_products_f32_##other,                  \
      .combine_f32 = ek_combine_f32_##other,                    \
      .outer_f32 = ek_outer_f32_##other,                        \
      .steps = &ek_steps_##other,                               \
      .normalize_f32 = ek_normalize_f32_##set,                  \
      .normalize_gradient_f32 = ek_normalize_gradient_f32_##set \
  }

DECLARE(plain);
static const ek_kernels plain = KERNELS(plain, plain, plain);

#if defined(__aarch64__)
DECLARE(neon);
// The compiler vectorises the plain loops over two-byte elements, products and steps for NEON.
static const ek_kernels neon = KERNELS(neon, plain, plain);
#endif

#if defined(__x86_64__)
DECLARE(avx2);
DECLARE(avx512);
void ek_embed_typed_avx512bf16(const ek_typed_tile *);
void ek_convert_avx512bf16(const void *, ek_element, void *, ek_element, size_t);
static const ek_kernels avx2 = KERNELS(avx2, avx2, avx2);
static const ek_kernels avx512 = KERNELS(avx512, avx512, avx512);
/// With the conversion to bfloat16 of the CPUs that have one.
static const ek_kernels avx512bf16 = KERNELS(avx512, avx512bf16, avx512);
#endif

const ek_kernels *ek_kernels_for(ek_instruction_set set) {
  switch (set) {
    case EK_PLAIN: return &plain;
#if defined(__aarch64__)
    case EK_NEON: return &neon;
#endif
#if defined(__x86_64__)
    case EK_AVX2:
      // Every CPU with AVX2 so far has F16C and FMA, which some kernels need.
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c") &&
                     __builtin_cpu_supports("fma")
                 ? &avx2
                 : NULL;
    case EK_AVX512: return __builtin_cpu_supports("avx512f") ? &avx512 : NULL;
    case EK_AVX512_BF16:
      // Every CPU with AVX512_BF16 has the extensions for words and classes, which it uses.
      return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq")
                 ? &avx512bf16
                 : NULL;
#endif
    default: return NULL;
  }
}
