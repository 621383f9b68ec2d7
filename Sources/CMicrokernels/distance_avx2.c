// Adding and summing a table along the diagonals of a tile of logits, AVX2: 32 floats a step.
//
// Bytes a logit: 4 read and 4 written; the table's row stays in cache.
#include "distance.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2")))

AVX2 EK_INLINE void add(float *y, const float *x, size_t count) {
  size_t i = 0;
  for (; i + 32 <= count; i += 32)
    for (size_t k = 0; k < 32; k += 8)
      _mm256_storeu_ps(y + i + k,
                       _mm256_add_ps(_mm256_loadu_ps(y + i + k), _mm256_loadu_ps(x + i + k)));
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(y + i, _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
  for (; i < count; i++) y[i] += x[i];
}

EK_INLINE void copy(float *y, const float *x, size_t count) { memcpy(y, x, count * sizeof *y); }

AVX2 EK_INLINE void hide(float *y, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) _mm256_storeu_ps(y + i, _mm256_set1_ps(-INFINITY));
  for (; i < count; i++) y[i] = -INFINITY;
}

AVX2 void ek_add_by_distance_f32_avx2(const ek_distance_tile *tile) {
  EK_ADD_BY_DISTANCE(tile, add, copy, hide);
}

AVX2 void ek_sum_by_distance_f32_avx2(const ek_distance_tile *tile) {
  EK_SUM_BY_DISTANCE(tile, add);
}
#endif
