// Rows that are repeated, added and summed.
#ifndef EMBEDKERNEL_ROWS_H
#define EMBEDKERNEL_ROWS_H

#include "vector.h"

#pragma STDC FP_CONTRACT ON

static void fill_rows(const float *row, float *out, size_t rows, size_t dim) {
  for (size_t r = 0; r < rows; r++) memcpy(out + r * dim, row, dim * sizeof *row);
}

static void add_row(const float *x, const float *row, float *out, size_t rows, size_t dim) {
  for (size_t r = 0; r < rows; r++, x += dim, out += dim)
    EK_EACH(dim, i, n, store(out + i, load(x + i, n, 0) + load(row + i, n, 0), n));
}

/// Four rows at a time, so that a sum is read and written a quarter as often.
static void sum_columns(const float *x, size_t stride, float *sums, size_t rows, size_t columns) {
  size_t r = 0;
  for (; r + 4 <= rows; r += 4, x += 4 * stride)
    EK_EACH(columns, i, n, {
      vec low = load(x + i, n, 0) + load(x + stride + i, n, 0);
      vec high = load(x + 2 * stride + i, n, 0) + load(x + 3 * stride + i, n, 0);
      store(sums + i, load(sums + i, n, 0) + (low + high), n);
    });
  for (; r < rows; r++, x += stride)
    EK_EACH(columns, i, n, store(sums + i, load(sums + i, n, 0) + load(x + i, n, 0), n));
}

#endif
