// Sums of gathered rows. A block of columns is summed over all rows in registers and written once.
//
// Bytes: each listed row read once, D*4; the output written once, D*4, and read where it is added
// to.
//
// The order of additions is part of the contract, and no product is fused into a sum, so every
// instruction set gives the same bits.
#ifndef EMBEDKERNEL_ROW_SUM_H
#define EMBEDKERNEL_ROW_SUM_H

#include "CKernels.h"
#include "vector.h"

#pragma STDC FP_CONTRACT OFF

enum { levels = 40 };  ///< Of a tree of sums.

/// factor * v, or p[:] + factor * v.
EK_INLINE vec scaled_sum(const float *p, vec v, size_t count, float factor, bool accumulate) {
  const vec value = v * factor;
  return accumulate ? load(p, count, 0) + value : value;
}

/// p[:] = factor * v, or p[:] += factor * v.
EK_INLINE void write_sum(float *p, vec v, size_t count, float factor, bool accumulate,
                         bool streaming) {
  put(p, scaled_sum(p, v, count, factor, accumulate), count, streaming);
}

EK_INLINE size_t row_index(const ek_row_sum *s, size_t row) {
  return s->indices ? (size_t)(uint32_t)s->indices[row] : row;
}

/// Asks for some vectors, into L1 or L2.
EK_INLINE void prefetch_lines(const float *from, size_t vectors, bool near) {
  if (near)
    for (size_t v = 0; v < vectors; v++) __builtin_prefetch(from + v * lanes, 0, 3);
  else
    for (size_t v = 0; v < vectors; v++) __builtin_prefetch(from + v * lanes, 0, 2);
}

/// Asks for the lines of columns `column..<column + 16 * vectors` of the row to come.
EK_INLINE void prefetch_addend(const ek_row_sum *s, size_t row, size_t column, size_t vectors) {
  if (row >= s->ahead_count) return;
  size_t index = (size_t)(uint32_t)s->ahead[row];
  prefetch_lines(s->rows + index * s->stride + column, vectors, s->near);
  if (s->destinations && s->pass_accumulate && s->destinations[index] >= 0)
    prefetch_lines(s->passed + (size_t)s->destinations[index] * s->stride + column, vectors,
                   s->near);
}

/// Asks for the lines of the output row to come.
EK_INLINE void prefetch_sum(const ek_row_sum *s, size_t column, size_t vectors) {
  if (s->ahead_output) prefetch_lines(s->ahead_output + column, vectors, s->near);
}

/// sum = rows first..<last, left to right; passes each row on where the call asks for it.
EK_INLINE void add_up(const ek_row_sum *s, size_t first, size_t last, size_t column, size_t vectors,
                      size_t count, vec *sum) {
  for (size_t row = first; row < last; row++) {
    size_t index = row_index(s, row);
    const float *from = s->rows + index * s->stride + column;
    prefetch_addend(s, row, column, vectors);
    vec value[block_vectors];
    for (size_t v = 0; v < vectors; v++) {
      value[v] = load(from + v * lanes, count, 0);
      if (s->factors) value[v] = value[v] * s->factors[row];
      sum[v] = row == first ? value[v] : sum[v] + value[v];
    }
    if (s->destinations && s->destinations[index] >= 0) {
      float *to = s->passed + (size_t)s->destinations[index] * s->stride + column;
      for (size_t v = 0; v < vectors; v++)
        write_sum(to + v * lanes, value[v], count, s->pass_factor, s->pass_accumulate,
                  s->pass_streaming);
    }
  }
}

/// Leaves of `leaf` rows, added up as a tree of adjacent pairs: what is on the stack at level k is
/// the sum of 2^k leaves.
EK_INLINE void add_tree(const ek_row_sum *s, size_t column, size_t vectors, size_t count,
                        vec *sum) {
  vec stack[levels][block_vectors];
  size_t leaves = 0;
  for (size_t first = 0; first < s->count; first += s->leaf, leaves++) {
    size_t last = first + s->leaf < s->count ? first + s->leaf : s->count;
    add_up(s, first, last, column, vectors, count, sum);
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
EK_INLINE void add_compensated(const ek_row_sum *s, size_t column, size_t vectors, size_t count,
                               vec *sum, vec *correction) {
  for (size_t v = 0; v < vectors; v++) sum[v] = correction[v] = (vec){0};
  for (size_t row = 0; row < s->count; row++) {
    size_t at = row_index(s, row) * s->stride + column;
    prefetch_addend(s, row, column, vectors);
    for (size_t v = 0; v < vectors; v++) {
      vec x = load(s->rows + at + v * lanes, count, 0);
      if (s->factors) x = x * s->factors[row];
      const vec old = sum[v];
      const vec total = old + x, added = total - old;
      correction[v] = correction[v] + ((old - (total - added)) + (x - added));
      sum[v] = total;
      if (s->corrections)
        correction[v] = correction[v] + load(s->corrections + at + v * lanes, count, 0);
    }
  }
}

EK_INLINE void sum_block(const ek_row_sum *s, size_t column, size_t vectors, size_t count) {
  vec sum[block_vectors], correction[block_vectors];
  prefetch_sum(s, column, vectors);
  if (s->compensated) {
    add_compensated(s, column, vectors, count, sum, correction);
    for (size_t v = 0; v < vectors; v++) {
      if (s->correction_output)
        store(s->correction_output + column + v * lanes, correction[v], count);
      else
        sum[v] = sum[v] + correction[v];
    }
  } else if (s->count <= s->leaf) {
    add_up(s, 0, s->count, column, vectors, count, sum);
  } else {
    add_tree(s, column, vectors, count, sum);
  }
  // All loads before the stores: one that lies a multiple of 4 KiB from a store waits for it.
  for (size_t v = 0; v < vectors; v++)
    sum[v] = scaled_sum(s->output + column + v * lanes, sum[v], count, s->factor, s->accumulate);
  for (size_t v = 0; v < vectors; v++)
    put(s->output + column + v * lanes, sum[v], count, s->streaming);
}

/// One row at a time added to the output, which stays in cache: the same sums as by blocks. Rows of
/// sequences lie so evenly that blocks of several of them would share the cache's sets.
EK_INLINE void sum_one_row(const ek_row_sum *s, size_t row, size_t column, size_t vectors,
                           size_t count) {
  size_t index = row_index(s, row);
  const float *from = s->rows + index * s->stride + column;
  float *to = s->output + column, *pass = NULL;
  if (s->destinations && s->destinations[index] >= 0)
    pass = s->passed + (size_t)s->destinations[index] * s->stride + column;
  prefetch_addend(s, row, column, vectors);
  for (size_t v = 0; v < vectors; v++) {
    vec value = load(from + v * lanes, count, 0);
    if (pass)
      write_sum(pass + v * lanes, value, count, s->pass_factor, s->pass_accumulate,
                s->pass_streaming);
    if (row) value = load(to + v * lanes, count, 0) + value;
    if (row == s->count - 1) value = value * s->factor;
    store(to + v * lanes, value, count);
  }
}

EK_INLINE void sum_by_row(const ek_row_sum *s, size_t vectors) {
  for (size_t row = 0; row < s->count; row++) {
    size_t column = 0;
    for (; column + vectors * lanes <= s->width; column += vectors * lanes)
      sum_one_row(s, row, column, vectors, lanes);
    for (; column + lanes <= s->width; column += lanes) sum_one_row(s, row, column, 1, lanes);
    if (column < s->width) sum_one_row(s, row, column, 1, s->width - column);
  }
}

/// The sum that `s` tells.
EK_INLINE void sum_any(const ek_row_sum *s) {
  const size_t vectors = block_vectors;
  bool by_row = s->destinations && !s->accumulate && s->count <= s->leaf && s->count > 1;
  if (by_row) {
    sum_by_row(s, vectors);
    return;
  }
  size_t column = 0;
  for (; column + vectors * lanes <= s->width; column += vectors * lanes)
    sum_block(s, column, vectors, lanes);
  for (; column + lanes <= s->width; column += lanes) sum_block(s, column, 1, lanes);
  if (column < s->width) sum_block(s, column, 1, s->width - column);
}

static void sum_rows(const ek_row_sum *work) {
  // A copy that nothing else can point to, so that its fields stay in registers.
  const ek_row_sum s = *work;
  sum_any(&s);
}

/// The next group that is summed, from `group` on.
EK_INLINE size_t next_group(const ek_group_sum *g, size_t group) {
  if (g->skips_lone)
    while (group < g->end && g->offsets[group + 1] - g->offsets[group] == 1) group++;
  return group;
}

static void sum_groups(const ek_group_sum *work) {
  const ek_group_sum g = *work;
  const size_t last = (size_t)g.offsets[g.end];
  size_t group = next_group(&g, g.begin), soon = group;
  for (size_t i = 0; i < g.ahead && soon < g.end; i++) soon = next_group(&g, soon + 1);
  for (; group < g.end; group = next_group(&g, group + 1)) {
    const size_t start = (size_t)g.offsets[group];
    const size_t row = g.row_ids ? (size_t)(uint32_t)g.row_ids[group] : group;
    ek_row_sum s = g.sum;
    s.count = (size_t)g.offsets[group + 1] - start;
    s.indices = g.members + start;
    s.factors = g.sum.factors ? g.sum.factors + start : NULL;
    s.output = g.sum.output + row * s.stride;
    if (g.divides_by_count) s.factor = g.sum.factor / (float)s.count;
    if (g.ahead) {
      // Each member once: those some places on, but where groups of one are left out the members of
      // a group some groups on.
      size_t at = g.skips_lone ? (size_t)g.offsets[soon] : start + g.ahead;
      size_t end = g.skips_lone && soon < g.end ? (size_t)g.offsets[soon + 1] : last;
      if (at < end) {
        s.ahead = g.members + at;
        s.ahead_count = end - at < s.count ? end - at : s.count;
      }
      if (s.accumulate && soon < g.end)
        s.ahead_output =
            g.sum.output + (g.row_ids ? (size_t)(uint32_t)g.row_ids[soon] : soon) * s.stride;
      if (soon < g.end) soon = next_group(&g, soon + 1);
    }
    sum_any(&s);
  }
}

#endif
