// Adding a table along the diagonals of a tile of floats, AVX2: four rows together. A load of the
// table is seldom aligned and half of them would cross a line; here the entries of three rows are
// those of the first one moved by one, two and three lanes, which costs no load.
#include "distance.h"

/// y[:] += the entries that begin `moved` lanes before `high`.
#define EK_ADD_MOVED(y, middle, high, moved)                                                  \
  do {                                                                                        \
    __m256i x_ = moved == 0 ? high : _mm256_alignr_epi8(high, middle, (16 - 4 * moved) & 15); \
    _mm256_storeu_ps(y, _mm256_add_ps(_mm256_loadu_ps(y), _mm256_castsi256_ps(x_)));          \
  } while (0)

/// Four rows of `count` floats, a multiple of 32, that take entries each one before the last's.
EK_INLINE void add_four_rows(float *y, size_t stride, const float *table, size_t count) {
  // The three entries before the table's: no more of them need to exist.
  __m256i low =
      _mm256_maskload_epi32((const int *)(table - 8), _mm256_setr_epi32(0, 0, 0, 0, 0, -1, -1, -1));
  for (size_t i = 0; i < count; i += 32, y += 32) {
    __m256i high[4], middle[4];
    for (size_t k = 0; k < 4; k++) {
      high[k] = _mm256_loadu_si256((const __m256i *)(table + i + 8 * k));
      // The upper half of what is before and the lower half: alignr moves within halves.
      middle[k] = _mm256_permute2x128_si256(k == 0 ? low : high[k - 1], high[k], 0x21);
    }
    for (size_t k = 0; k < 4; k++) EK_ADD_MOVED(y + 8 * k, middle[k], high[k], 0);
    for (size_t k = 0; k < 4; k++) EK_ADD_MOVED(y + stride + 8 * k, middle[k], high[k], 1);
    for (size_t k = 0; k < 4; k++) EK_ADD_MOVED(y + 2 * stride + 8 * k, middle[k], high[k], 2);
    for (size_t k = 0; k < 4; k++) EK_ADD_MOVED(y + 3 * stride + 8 * k, middle[k], high[k], 3);
    low = high[3];
  }
}

static void add_by_distance_avx2(const ek_distance_tile *tile) {
  if (tile->element != EK_F32 || tile->overwrite) return add_by_distance(tile);
  ek_distance_tile rest = *tile;
  const size_t stride = rest.stride, columns = rest.columns;
  for (; rest.rows >= 4; rest.rows -= 4) {
    // What all four see, in whole steps; then each row's own end.
    const size_t together = seen_columns(&rest, 0) / 32 * 32;
    float *logits = rest.logits;
    if (together) add_four_rows(logits, stride, rest.table, together);
    for (size_t k = 0; together < columns && k < 4; k++) {
      float *row = logits + k * stride;
      const size_t seen = seen_columns(&rest, k);
      add_elements(row + together, EK_F32, rest.table - k + together, EK_F32, seen - together,
                   false);
      hide_elements(row + seen, EK_F32, columns - seen);
    }
    rest.logits = logits + 4 * stride;
    rest.table -= 4;
    if (rest.visible < (ptrdiff_t)columns) rest.visible += 4;
  }
  add_tile(&rest, EK_F32, false);
}
