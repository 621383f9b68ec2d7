// Adding and summing a table along the diagonals of a tile of logits, AVX-512: 64 floats a step,
// masked tails.
//
// Bytes a logit: 4 read and 4 written; the table's row stays in cache.
#include "distance.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define AVX512 __attribute__((target("avx512f")))

AVX512 EK_INLINE void add(float *y, const float *x, size_t count) {
  size_t i = 0;
  for (; i + 64 <= count; i += 64)
    for (size_t k = 0; k < 64; k += 16)
      _mm512_storeu_ps(y + i + k,
                       _mm512_add_ps(_mm512_loadu_ps(y + i + k), _mm512_loadu_ps(x + i + k)));
  for (; i + 16 <= count; i += 16)
    _mm512_storeu_ps(y + i, _mm512_add_ps(_mm512_loadu_ps(y + i), _mm512_loadu_ps(x + i)));
  if (i < count) {
    __mmask16 mask = (__mmask16)((1u << (count - i)) - 1);
    __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, y + i), _mm512_maskz_loadu_ps(mask, x + i));
    _mm512_mask_storeu_ps(y + i, mask, sum);
  }
}

EK_INLINE void copy(float *y, const float *x, size_t count) { memcpy(y, x, count * sizeof *y); }

AVX512 EK_INLINE void hide(float *y, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16) _mm512_storeu_ps(y + i, _mm512_set1_ps(-INFINITY));
  __mmask16 mask = (__mmask16)((1u << (count - i)) - 1);
  _mm512_mask_storeu_ps(y + i, mask, _mm512_set1_ps(-INFINITY));
}

AVX512 void ek_add_by_distance_f32_avx512(const ek_distance_tile *tile) {
  EK_ADD_BY_DISTANCE(tile, add, copy, hide);
}

AVX512 void ek_sum_by_distance_f32_avx512(const ek_distance_tile *tile) {
  EK_SUM_BY_DISTANCE(tile, add);
}
#endif
