// Sums of gathered rows, written once over vectors of 16 floats; each instruction set compiles it
// for its own registers. A block of columns is summed over all rows in registers and written once.
//
// The order of additions is part of the contract, and no product is fused into a sum, so every
// instruction set gives the same bits.
#ifndef EMBEDKERNEL_ROW_SUM_H
#define EMBEDKERNEL_ROW_SUM_H

#include <string.h>

#include "tile.h"

typedef float ek_f32x16 __attribute__((vector_size(64)));
typedef float ek_f32x16_anywhere __attribute__((vector_size(64), aligned(4), may_alias));

enum { EK_LANES = 16, EK_MOST_VECTORS = 8, EK_LEVELS = 40 };

/// The first `lanes` floats at `p`, the rest zero.
EK_INLINE void ek_load(ek_f32x16 *v, const float *p, size_t lanes) {
  if (lanes == EK_LANES) {
    *v = *(const ek_f32x16_anywhere *)p;
  } else {
    ek_f32x16 partial = {0};
    memcpy(&partial, p, lanes * sizeof(float));
    *v = partial;
  }
}

EK_INLINE void ek_store(const ek_f32x16 *v, float *p, size_t lanes, bool streaming) {
  if (lanes != EK_LANES)
    memcpy(p, v, lanes * sizeof(float));
  else if (streaming)
    __builtin_nontemporal_store(*v, (ek_f32x16 *)p);
  else
    *(ek_f32x16_anywhere *)p = *v;
}

/// p[:] = factor * v, or p[:] += factor * v.
EK_INLINE void ek_write(const ek_f32x16 *v, float *p, size_t lanes, float factor, bool accumulate,
                        bool streaming) {
#pragma STDC FP_CONTRACT OFF
  ek_f32x16 value = *v * factor;
  if (accumulate) {
    ek_f32x16 old;
    ek_load(&old, p, lanes);
    value = old + value;
  }
  ek_store(&value, p, lanes, streaming);
}

EK_INLINE size_t ek_index(const ek_row_sum *s, size_t row) {
  return s->indices ? (size_t)(uint32_t)s->indices[row] : row;
}

/// Asks for the lines of columns `column..<column + 16 * vectors` of the row to come.
EK_INLINE void ek_prefetch(const ek_row_sum *s, size_t row, size_t column, size_t vectors) {
  if (row >= s->ahead_count) return;
  size_t index = (size_t)(uint32_t)s->ahead[row];
  const float *soon = s->rows + index * s->stride + column;
  for (size_t v = 0; v < vectors; v++) __builtin_prefetch(soon + v * EK_LANES, 0, 2);
  if (s->destinations && s->pass_accumulate && s->destinations[index] >= 0) {
    const float *target = s->passed + (size_t)s->destinations[index] * s->stride + column;
    for (size_t v = 0; v < vectors; v++) __builtin_prefetch(target + v * EK_LANES, 1, 2);
  }
}

/// sum = rows first..<last, left to right; passes each row on where the call asks for it.
EK_INLINE void ek_add_up(const ek_row_sum *s, size_t first, size_t last, size_t column,
                         size_t vectors, size_t lanes, ek_f32x16 *sum) {
#pragma STDC FP_CONTRACT OFF
  for (size_t row = first; row < last; row++) {
    size_t index = ek_index(s, row);
    const float *from = s->rows + index * s->stride + column;
    ek_prefetch(s, row, column, vectors);
    ek_f32x16 value[EK_MOST_VECTORS];
    for (size_t v = 0; v < vectors; v++) {
      ek_load(&value[v], from + v * EK_LANES, lanes);
      sum[v] = row == first ? value[v] : sum[v] + value[v];
    }
    if (s->destinations && s->destinations[index] >= 0) {
      float *to = s->passed + (size_t)s->destinations[index] * s->stride + column;
      for (size_t v = 0; v < vectors; v++)
        ek_write(&value[v], to + v * EK_LANES, lanes, s->pass_factor, s->pass_accumulate,
                 s->pass_streaming);
    }
  }
}

/// Leaves of `leaf` rows, added up as a tree of adjacent pairs: what is on the stack at level k is
/// the sum of 2^k leaves.
EK_INLINE void ek_tree(const ek_row_sum *s, size_t column, size_t vectors, size_t lanes,
                       ek_f32x16 *sum) {
#pragma STDC FP_CONTRACT OFF
  ek_f32x16 stack[EK_LEVELS][EK_MOST_VECTORS];
  size_t leaves = 0;
  for (size_t first = 0; first < s->count; first += s->leaf, leaves++) {
    size_t last = first + s->leaf < s->count ? first + s->leaf : s->count;
    ek_add_up(s, first, last, column, vectors, lanes, sum);
    size_t level = 0;
    for (; leaves >> level & 1; level++)
      for (size_t v = 0; v < vectors; v++) sum[v] = stack[level][v] + sum[v];
    for (size_t v = 0; v < vectors; v++) stack[level][v] = sum[v];
  }
  size_t level = (size_t)__builtin_ctzl(leaves);
  for (size_t v = 0; v < vectors; v++) sum[v] = stack[level][v];
  while (leaves >> ++level)
    if (leaves >> level & 1)
      for (size_t v = 0; v < vectors; v++) sum[v] = stack[level][v] + sum[v];
}

/// Left to right, with the rounding error of every addition (Knuth's TwoSum) summed beside.
EK_INLINE void ek_compensated(const ek_row_sum *s, size_t column, size_t vectors, size_t lanes,
                              ek_f32x16 *sum, ek_f32x16 *correction) {
#pragma STDC FP_CONTRACT OFF
  for (size_t v = 0; v < vectors; v++) sum[v] = correction[v] = (ek_f32x16){0};
  for (size_t row = 0; row < s->count; row++) {
    size_t at = ek_index(s, row) * s->stride + column;
    ek_prefetch(s, row, column, vectors);
    for (size_t v = 0; v < vectors; v++) {
      ek_f32x16 x, old = sum[v];
      ek_load(&x, s->rows + at + v * EK_LANES, lanes);
      ek_f32x16 total = old + x, added = total - old;
      correction[v] = correction[v] + ((old - (total - added)) + (x - added));
      sum[v] = total;
      if (s->corrections) {
        ek_load(&x, s->corrections + at + v * EK_LANES, lanes);
        correction[v] = correction[v] + x;
      }
    }
  }
}

EK_INLINE void ek_sum_block(const ek_row_sum *s, size_t column, size_t vectors, size_t lanes) {
#pragma STDC FP_CONTRACT OFF
  ek_f32x16 sum[EK_MOST_VECTORS], correction[EK_MOST_VECTORS];
  if (s->compensated) {
    ek_compensated(s, column, vectors, lanes, sum, correction);
    for (size_t v = 0; v < vectors; v++) {
      if (s->correction_output)
        ek_store(&correction[v], s->correction_output + column + v * EK_LANES, lanes, false);
      else
        sum[v] = sum[v] + correction[v];
    }
  } else if (s->count <= s->leaf) {
    ek_add_up(s, 0, s->count, column, vectors, lanes, sum);
  } else {
    ek_tree(s, column, vectors, lanes, sum);
  }
  for (size_t v = 0; v < vectors; v++)
    ek_write(&sum[v], s->output + column + v * EK_LANES, lanes, s->factor, s->accumulate,
             s->streaming);
}

/// The whole call; `vectors` is how many registers a block's sum takes.
EK_INLINE void ek_sum_rows(const ek_row_sum *work, size_t vectors) {
  const ek_row_sum s = *work;
  size_t column = 0;
  for (; column + vectors * EK_LANES <= s.width; column += vectors * EK_LANES)
    ek_sum_block(&s, column, vectors, EK_LANES);
  for (; column + EK_LANES <= s.width; column += EK_LANES) ek_sum_block(&s, column, 1, EK_LANES);
  if (column < s.width) ek_sum_block(&s, column, 1, s.width - column);
}

#endif
