// Adding and summing a table along the diagonals of a tile of logits, AVX2: 32 floats a step.
//
// Bytes a logit: 4 read and 4 written; the table's row stays in cache. Four rows go together, since
// a load of the table is seldom aligned and half of those would cross a line: their entries are
// those of the first row moved by one, two and three lanes, which costs no load.
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

/// A row from column `i` on: y[:seen] += x[:seen], and minus infinity up to `columns`.
AVX2 EK_INLINE void finish_row(float *y, const float *x, size_t i, size_t seen, size_t columns) {
  size_t whole = seen > i ? (seen - i) / 8 * 8 : 0;
  add(y + i, x + i, whole);
  i += whole;
  if (i < seen && i + 8 <= columns) {
    // The vector where the seen columns end: the table reaches as far as the columns do.
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i shown = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(seen - i)), lane);
    __m256 sum = _mm256_add_ps(_mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i));
    _mm256_storeu_ps(
        y + i, _mm256_blendv_ps(_mm256_set1_ps(-INFINITY), sum, _mm256_castsi256_ps(shown)));
    i += 8;
  }
  for (; i < seen; i++) y[i] += x[i];
  hide(y + i, columns - i);
}

/// y[:] += the entries that begin `moved` lanes before `high`.
#define ADD_MOVED(y, middle, high, moved)                                                    \
  do {                                                                                       \
    __m256i x_ = moved == 0 ? high : _mm256_alignr_epi8(high, middle, (16 - 4 * moved) & 15); \
    _mm256_storeu_ps(y, _mm256_add_ps(_mm256_loadu_ps(y), _mm256_castsi256_ps(x_)));         \
  } while (0)

/// Four rows of `count` floats, a multiple of 32, that take entries each one before the last's.
AVX2 EK_INLINE void add_four(float *y, size_t stride, const float *table, size_t count) {
  // The three entries before the table's: no more of them need to exist.
  __m256i low = _mm256_maskload_epi32((const int *)(table - 8),
                                      _mm256_setr_epi32(0, 0, 0, 0, 0, -1, -1, -1));
  for (size_t i = 0; i < count; i += 32, y += 32) {
    __m256i high[4], middle[4];
    for (size_t k = 0; k < 4; k++) {
      high[k] = _mm256_loadu_si256((const __m256i *)(table + i + 8 * k));
      // The upper half of what is before and the lower half: alignr moves within halves.
      middle[k] = _mm256_permute2x128_si256(k == 0 ? low : high[k - 1], high[k], 0x21);
    }
    for (size_t k = 0; k < 4; k++) ADD_MOVED(y + 8 * k, middle[k], high[k], 0);
    for (size_t k = 0; k < 4; k++) ADD_MOVED(y + stride + 8 * k, middle[k], high[k], 1);
    for (size_t k = 0; k < 4; k++) ADD_MOVED(y + 2 * stride + 8 * k, middle[k], high[k], 2);
    for (size_t k = 0; k < 4; k++) ADD_MOVED(y + 3 * stride + 8 * k, middle[k], high[k], 3);
    low = high[3];
  }
}

AVX2 void ek_add_by_distance_f32_avx2(const ek_distance_tile *tile) {
  const ek_distance_tile t = *tile;
  ek_distance_tile rest = t;
  if (!t.overwrite) {
    for (; rest.rows >= 4; rest.rows -= 4) {
      // What all four see, in whole steps; then each row's own end.
      size_t together = ek_seen(&rest, 0) / 32 * 32;
      float *logits = rest.logits;
      if (together) add_four(logits, t.stride, rest.table, together);
      for (size_t k = 0; together < t.columns && k < 4; k++)
        finish_row(logits + k * t.stride, rest.table - k, together, ek_seen(&rest, k), t.columns);
      rest.logits = logits + 4 * t.stride;
      rest.table -= 4;
      if (rest.visible < (ptrdiff_t)t.columns) rest.visible += 4;
    }
  }
  EK_ADD_BY_DISTANCE(&rest, add, copy, hide);
}

AVX2 void ek_sum_by_distance_f32_avx2(const ek_distance_tile *tile) {
  EK_SUM_BY_DISTANCE(tile, add);
}
#endif
