// What becomes of a bag's rows: a block of columns at a time pooled in registers.
//
// Rows to come are prefetched along the ids, over the ends of bags. Sums of whole steps whose ids
// need no second look have a loop of their own: the fewer instructions a row takes, the more rows
// are on their way at once.
#ifndef EMBEDKERNEL_BAG_POOL_H
#define EMBEDKERNEL_BAG_POOL_H

#include "CKernelBags.h"
#include "row_load.h"

#pragma STDC FP_CONTRACT OFF

enum {
  columns_of_step = 2 * lanes,
  /// Steps of a block: accumulators that fill half the registers.
  bag_steps = EK_REGISTERS * EK_WIDTH / 64,
  /// What an id reads instead of a row.
  left_out = -1,
  zeros = -2,
};

/// A block of columns: whole steps but for the last.
typedef struct bag_block {
  size_t column, steps, rest;
  size_t prefetch_at, prefetch_bytes;  ///< Of a row.
  bool prefetches_end;                 ///< Whether the last of them may be in a line of its own.
} bag_block;

EK_INLINE size_t step_columns(const bag_block *block, size_t step) {
  return step + 1 < block->steps ? columns_of_step : block->rest;
}

EK_INLINE int64_t bag_id(const ek_bag_tile *t, size_t at) {
  return t->id_bytes == 4 ? ((const int32_t *)t->ids)[at] : ((const int64_t *)t->ids)[at];
}

/// The row that id `at` reads, or `left_out`, or `zeros`.
EK_INLINE int64_t bag_row(const ek_bag_tile *t, size_t at) {
  int64_t id = bag_id(t, at);
  if (__builtin_expect((uint64_t)id < t->rows, 1)) return id == t->padding ? left_out : id;
  if (!t->clamps) return zeros;
  id = id < 0 ? 0 : (int64_t)t->rows - 1;
  return id == t->padding ? left_out : id;
}

// MARK: Prefetching

/// The row of an id of a tile that `has_plain_ids`: on these machines its first bytes.
EK_INLINE size_t plain_row(const ek_bag_tile *t, size_t at) {
  uint32_t row;
  memcpy(&row, (const char *)t->ids + at * t->id_bytes, sizeof row);
  return row;
}

/// Where a row is, for a prefetch: an id outside the table gives an address of nothing.
EK_INLINE const char *bag_row_address(const ek_bag_tile *t, size_t row) {
  return (const char *)((uintptr_t)t->table.bytes + row * t->table.row_bytes);
}

/// Asks for a line: of quantised rows, which are short, into L1, as two of them may be in one line,
/// and asking L2 again for what is on its way costs as much as asking at first.
EK_INLINE void prefetch_line(ek_row_format format, uintptr_t at) {
  if (format >= EK_ROWS_INT8_F32)
    __builtin_prefetch((const char *)at, 0, 3);
  else
    __builtin_prefetch((const char *)at, 0, 2);
}

/// Asks for the block's bytes of a row: lines from its first byte on, and the last byte's.
EK_INLINE void prefetch_columns(const ek_bag_tile *t, ek_row_format format, size_t row,
                                const bag_block *block) {
  const uintptr_t from = (uintptr_t)bag_row_address(t, row) + block->prefetch_at;
  if (block->rest == columns_of_step) {
#pragma clang loop unroll(full)
    for (size_t k = 0; k < block->steps * step_bytes(format); k += 64)
      prefetch_line(format, from + k);
  } else {
    for (size_t k = 0; k < block->prefetch_bytes; k += 64) prefetch_line(format, from + k);
  }
  // Whole steps of floats are whole lines.
  if (block->prefetches_end && (format >= EK_ROWS_INT8_F32 || block->rest != columns_of_step))
    prefetch_line(format, from + block->prefetch_bytes - 1);
  if (has_scales_beside(format) && t->table.scale_bytes && block->column == t->column)
    prefetch_line(
        format, (uintptr_t)t->table.scales + (row >> t->table.scale_shift) * t->table.scale_bytes);
}

/// The same of the row of an id some ids on.
EK_INLINE void prefetch_bag_row(const ek_bag_tile *t, ek_row_format format, size_t at,
                                const bag_block *block) {
  if (!t->prefetch_rows || at + t->prefetch_rows >= t->bags.ids) return;
  prefetch_columns(t, format, (size_t)bag_id(t, at + t->prefetch_rows), block);
}

// MARK: Pools

/// The block's columns of a row, times a weight where there is one, added to a sum.
EK_INLINE void add_row_to(const ek_bag_tile *t, ek_row_format format, size_t row,
                          const bag_block *block, const float *weight, two *sum) {
  const char *bytes = row_at(&t->table, row), *scales = scales_at(&t->table, row);
  const row_factors factors = factors_of(format, bytes, scales, t->table.dim);
#pragma clang loop unroll(full)
  for (size_t s = 0; s < block->steps; s++) {
    two x = load_row(format, bytes, scales, factors, block->column + s * columns_of_step,
                     step_columns(block, s), is_split(format));
    if (weight) x = (two){x.a * *weight, x.b * *weight};
    sum[s] = (two){sum[s].a + x.a, sum[s].b + x.b};
  }
}

/// out[:] = sums, their columns in order.
EK_INLINE void give_in_order(ek_row_format format, const bag_block *block, const two *sum,
                             two *out) {
#pragma clang loop unroll(full)
  for (size_t s = 0; s < block->steps; s++) out[s] = is_split(format) ? in_turn(sum[s]) : sum[s];
}

/// Whether ids are rows as they are, in four bytes, and add up without weights.
EK_INLINE bool has_plain_ids(const ek_bag_tile *t) {
  return t->is_checked && t->padding == INT64_MIN && !t->weights && t->rows <= UINT32_MAX &&
         t->columns % columns_of_step == 0;
}

/// out[:] = the block's columns of the rows of ids start..<end, added in order; `has_plain_ids`.
EK_INLINE void sum_plain_bag(const ek_bag_tile *t, ek_row_format format, size_t start, size_t end,
                             const bag_block *block, two *out) {
  const size_t ahead = t->prefetch_rows, ids = t->bags.ids;
  const size_t prefetched = ahead && ids > ahead ? ids - ahead : 0;
  const size_t middle = prefetched < end ? prefetched : end;
  // An array that nothing else can point to, so that it stays in registers.
  two sum[bag_steps];
#pragma clang loop unroll(full)
  for (size_t s = 0; s < block->steps; s++) sum[s] = (two){0, 0};
  size_t at = start;
  for (; at < middle; at++) {
    prefetch_columns(t, format, plain_row(t, at + ahead), block);
    add_row_to(t, format, plain_row(t, at), block, NULL, sum);
  }
  for (; at < end; at++) add_row_to(t, format, plain_row(t, at), block, NULL, sum);
  give_in_order(format, block, sum, out);
}

/// The same of any ids, weighted.
EK_INLINE void sum_bag(const ek_bag_tile *t, ek_row_format format, size_t start, size_t end,
                       const bag_block *block, two *out) {
  // An array that nothing else can point to, so that it stays in registers.
  two sum[bag_steps];
#pragma clang loop unroll(full)
  for (size_t s = 0; s < block->steps; s++) sum[s] = (two){0, 0};
  for (size_t at = start; at < end; at++) {
    prefetch_bag_row(t, format, at, block);
    const int64_t row = bag_row(t, at);
    if (__builtin_expect(row < 0, 0)) continue;
    if (t->weights)
      add_row_to(t, format, (size_t)row, block, &t->weights[at], sum);
    else
      add_row_to(t, format, (size_t)row, block, NULL, sum);
  }
  give_in_order(format, block, sum, out);
}

/// best[:] = the largest of each column; `winner` whose it is, negative where there is none.
EK_INLINE void max_bag(const ek_bag_tile *t, ek_row_format format, size_t start, size_t end,
                       const bag_block *block, two *best, ints *winner) {
  *best = (two){0, 0};
  winner[0] = winner[1] = -1;
  for (size_t at = start; at < end; at++) {
    prefetch_bag_row(t, format, at, block);
    const int64_t row = bag_row(t, at);
    if (row == left_out) continue;
    two x = {0, 0};
    if (row >= 0) {
      const char *bytes = row_at(&t->table, (size_t)row);
      const char *scales = scales_at(&t->table, (size_t)row);
      x = load_row(format, bytes, scales, factors_of(format, bytes, scales, t->table.dim),
                   block->column, block->rest, false);
    }
    const ints a = (winner[0] < 0) | (x.a > best->a), b = (winner[1] < 0) | (x.b > best->b);
    *best = (two){a ? x.a : best->a, b ? x.b : best->b};
    winner[0] = a ? (ints)(int32_t)at : winner[0];
    winner[1] = b ? (ints)(int32_t)at : winner[1];
  }
}

/// The number of rows that a mean is over.
EK_INLINE size_t bag_members(const ek_bag_tile *t, size_t start, size_t end) {
  if (t->padding == INT64_MIN) return end - start;
  size_t count = 0;
  for (size_t at = start; at < end; at++) count += bag_row(t, at) != left_out;
  return count;
}

#endif
