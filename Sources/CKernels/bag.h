// Bags: the rows of a bag's ids pooled in registers, a block of columns at a time, and written
// once.
//
// Bytes an id: the bytes of its row, read at random, which is what the time goes into: rows to come
// are prefetched along the ids, over the ends of bags. Bytes a bag: D elements written.
//
// The order is part of the contract: ids from left to right, from zero on, each product and sum
// rounded on its own, so all sets and any cut into columns give the same bits.
#ifndef EMBEDKERNEL_BAG_H
#define EMBEDKERNEL_BAG_H

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

/// Asks for the block's bytes of the row some ids on: lines from its first byte on, and the last
/// byte's.
EK_INLINE void prefetch_bag_row(const ek_bag_tile *t, ek_row_format format, size_t at,
                                const bag_block *block) {
  if (!t->prefetch_rows || at + t->prefetch_rows >= t->bags.ids) return;
  // An id outside the table gives an address of nothing, which a prefetch may name.
  const size_t id = (size_t)bag_id(t, at + t->prefetch_rows);
  const uintptr_t from = (uintptr_t)t->table.bytes + id * t->table.row_bytes + block->prefetch_at;
  if (block->rest == columns_of_step) {
#pragma clang loop unroll(full)
    for (size_t k = 0; k < block->steps * step_bytes(format); k += 64)
      __builtin_prefetch((const char *)(from + k), 0, 2);
  } else {
    for (size_t k = 0; k < block->prefetch_bytes; k += 64)
      __builtin_prefetch((const char *)(from + k), 0, 2);
  }
  if (block->prefetches_end)
    __builtin_prefetch((const char *)(from + block->prefetch_bytes - 1), 0, 2);
  if (format >= EK_ROWS_INT8_F32 && t->table.scale_bytes && block->column == t->column)
    __builtin_prefetch((const char *)((uintptr_t)t->table.scales +
                                      (id >> t->table.scale_shift) * t->table.scale_bytes),
                       0, 2);
}

// MARK: Pools

/// sum[:] = the block's columns of the rows of ids start..<end, weighted and added in order.
EK_INLINE void sum_bag(const ek_bag_tile *t, ek_row_format format, size_t start, size_t end,
                       const bag_block *block, two *sum) {
#pragma clang loop unroll(full)
  for (size_t s = 0; s < block->steps; s++) sum[s] = (two){0, 0};
  for (size_t at = start; at < end; at++) {
    prefetch_bag_row(t, format, at, block);
    const int64_t row = bag_row(t, at);
    if (__builtin_expect(row < 0, 0)) continue;
    const char *bytes = row_at(&t->table, (size_t)row), *scales = scales_at(&t->table, (size_t)row);
    const float weight = t->weights ? t->weights[at] : 1;
#pragma clang loop unroll(full)
    for (size_t s = 0; s < block->steps; s++) {
      two x = load_row(format, bytes, scales, t->table.dim, block->column + s * columns_of_step,
                       step_columns(block, s));
      if (t->weights) x = (two){x.a * weight, x.b * weight};
      sum[s] = (two){sum[s].a + x.a, sum[s].b + x.b};
    }
  }
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
    if (row >= 0)
      x = load_row(format, row_at(&t->table, (size_t)row), scales_at(&t->table, (size_t)row),
                   t->table.dim, block->column, block->rest);
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

// MARK: Writing

/// Outlined: only floats are worth their own copies.
__attribute__((noinline)) static void write_narrow(const ek_bag_tile *t, char *to, const two *value,
                                                   size_t count) {
  if (t->output_type == EK_F16)
    store_two(to, *value, EK_F16, false, count, false);
  else
    store_two(to, *value, EK_BF16, false, count, false);
}

EK_INLINE void write_bag(const ek_bag_tile *t, size_t bag, const bag_block *block,
                         const two *values) {
  const size_t at = bag * t->table.dim + block->column;
#pragma clang loop unroll(full)
  for (size_t s = 0; s < block->steps; s++) {
    const size_t column = at + s * columns_of_step, count = step_columns(block, s);
    if (t->output_type == EK_F32)
      store_two((float *)t->output + column, values[s], EK_F32, false, count, t->streaming);
    else
      write_narrow(t, (char *)t->output + 2 * column, &values[s], count);
  }
}

EK_INLINE void write_winners(const ek_bag_tile *t, size_t bag, const bag_block *block,
                             const ints *winner) {
  void *to = t->winners + bag * t->table.dim + block->column;
  store_two(to, (two){(vec)winner[0], (vec)winner[1]}, EK_F32, false, block->rest, false);
}

// MARK: Bags

EK_INLINE void pool_block(const ek_bag_tile *t, ek_row_format format, size_t bag, size_t start,
                          size_t end, bag_block block) {
  two values[bag_steps];
  const size_t bytes = t->table.row_bytes, at = block.column / columns_of_step * step_bytes(format);
  const size_t to = block.column + (block.steps - 1) * columns_of_step + block.rest;
  block.prefetch_at = at < bytes ? at : bytes;
  // What stands behind a row's columns comes with the last of them.
  block.prefetch_bytes =
      to == t->table.dim ? bytes - block.prefetch_at : block.steps * step_bytes(format);
  block.prefetches_end = bytes % 64 != 0 && block.prefetch_bytes > 0;
  if (t->pool == EK_POOL_MAX) {
    ints winner[2];
    max_bag(t, format, start, end, &block, values, winner);
    if (t->winners) write_winners(t, bag, &block, winner);
  } else {
    sum_bag(t, format, start, end, &block, values);
    const size_t members = t->pool == EK_POOL_MEAN ? bag_members(t, start, end) : 0;
    if (members) {
      const float count = (float)members;
#pragma clang loop unroll(full)
      for (size_t s = 0; s < block.steps; s++)
        values[s] = (two){values[s].a / count, values[s].b / count};
    }
  }
  write_bag(t, bag, &block, values);
}

/// A bag of one id: its row goes to the output step by step, added to zero.
EK_INLINE void copy_row(const ek_bag_tile *t, ek_row_format format, size_t bag, size_t at,
                        size_t row) {
  const char *bytes = row_at(&t->table, row), *scales = scales_at(&t->table, row);
  const float weight = t->weights ? t->weights[at] : 1;
  const char *soon = bytes;
  if (t->prefetch_rows && at + t->prefetch_rows < t->bags.ids)
    soon = (const char *)((uintptr_t)t->table.bytes +
                          (size_t)bag_id(t, at + t->prefetch_rows) * t->table.row_bytes);
  const size_t last = t->column + t->columns;
  size_t from = t->column / columns_of_step * step_bytes(format);
  if (t->table.row_bytes % 64 != 0 && soon != bytes)
    __builtin_prefetch(soon + t->table.row_bytes - 1, 0, 2);
  for (size_t column = t->column; column < last; column += columns_of_step) {
    const size_t count = last - column < columns_of_step ? last - column : columns_of_step;
    if (soon != bytes) {
      __builtin_prefetch(soon + from, 0, 2);
      if (step_bytes(format) > 64) __builtin_prefetch(soon + from + 64, 0, 2);
    }
    from += step_bytes(format);
    two x = load_row(format, bytes, scales, t->table.dim, column, count);
    if (t->weights) x = (two){x.a * weight, x.b * weight};
    x = (two){x.a + 0.0f, x.b + 0.0f};
    const bag_block step = {column, 1, count, 0, 0, false};
    write_bag(t, bag, &step, &x);
  }
}

/// Blocks of `steps` or more are taken while there are columns for them, and so on with half as
/// many.
EK_INLINE void pool_bag(const ek_bag_tile *t, ek_row_format format, size_t bag, size_t start,
                        size_t end) {
  const size_t last = t->column + t->columns;
  if (end == start + 1 && t->pool != EK_POOL_MAX) {
    const int64_t row = bag_row(t, start);
    if (row >= 0) {
      copy_row(t, format, bag, start, (size_t)row);
      return;
    }
  }
  const size_t most = t->pool == EK_POOL_MAX ? 1 : format <= EK_ROWS_BF16 ? 8 : 4;
  size_t column = t->column;
#define EK_BLOCKS(n)                                                                       \
  if ((n) <= bag_steps && most >= (n))                                                     \
    while (column + ((n) - 1) * columns_of_step < last) {                                  \
      const size_t left = last - column - ((n) - 1) * columns_of_step;                     \
      const size_t rest = left < columns_of_step ? left : columns_of_step;                 \
      pool_block(t, format, bag, start, end, (bag_block){column, (n), rest, 0, 0, false}); \
      column += (n) * columns_of_step;                                                     \
    }
  EK_BLOCKS(8)
  EK_BLOCKS(4)
  EK_BLOCKS(2)
  EK_BLOCKS(1)
#undef EK_BLOCKS
}

EK_INLINE void pool_bags(const ek_bag_tile *tile, ek_row_format format) {
  // A copy that nothing else can point to, so that its fields stay in registers.
  const ek_bag_tile t = *tile;
  size_t start = t.start;
  for (size_t bag = t.first; bag < t.last; bag++) {
    const size_t end = ek_bag_end(&t.bags, bag, start);
    if (end - start <= t.longest) pool_bag(&t, format, bag, start, end);
    start = end;
  }
  if (t.streaming) fence();
}

// MARK: Gradient of weights

/// The inner product of a bag's output gradient and a row: element i in lane i mod 32, the lanes
/// then added as a tree of halves.
EK_INLINE float weight_gradient(const ek_bag_tile *t, ek_row_format format, size_t row,
                                const float *gradient) {
  const char *bytes = row_at(&t->table, row), *scales = scales_at(&t->table, row);
  two sum = {0, 0};
  EK_EACH_TWO(t->table.dim, i, n, {
    two x = load_row(format, bytes, scales, t->table.dim, i, n);
    if (n < columns_of_step) {
      // What is loaded of columns that there are not may be no number.
      x.a = keep(x.a, n < lanes ? n : lanes, 0);
      x.b = keep(x.b, n < lanes ? 0 : n - lanes, 0);
    }
    const two g = load_two(gradient + i, EK_F32, false, n);
    sum = (two){sum.a + x.a * g.a, sum.b + x.b * g.b};
  });
  const vec all = sum.a + sum.b;
  return EK_FOLD(all, EK_ADD);
}

EK_INLINE void weight_gradients(const ek_bag_tile *tile, ek_row_format format) {
  const ek_bag_tile t = *tile;
  const bag_block whole = {t.column, 1, 0, 0, t.table.row_bytes, true};
  size_t start = t.start;
  for (size_t bag = t.first; bag < t.last; bag++) {
    const size_t end = ek_bag_end(&t.bags, bag, start);
    size_t at = start > t.first_id ? start : t.first_id;
    for (; at < end && at < t.last_id; at++) {
      prefetch_bag_row(&t, format, at, &whole);
      const int64_t row = bag_row(&t, at);
      t.weight_gradient[at] =
          row < 0 ? 0 : weight_gradient(&t, format, (size_t)row, t.gradient + bag * t.table.dim);
    }
    start = end;
  }
}

// MARK: Formats

#define EK_DEFINE(format, ...)                                                               \
  __attribute__((noinline)) static void pool_##format(const ek_bag_tile *tile) {             \
    pool_bags(tile, format);                                                                 \
  }                                                                                          \
  __attribute__((noinline)) static void weight_gradients_##format(const ek_bag_tile *tile) { \
    weight_gradients(tile, format);                                                          \
  }
EK_ROW_FORMAT_LIST(EK_DEFINE, )
#undef EK_DEFINE

static void pool_rows(const ek_bag_tile *tile) {
#define EK_ACT(format) pool_##format(tile)
  EK_OF_FORMAT(tile->table.format, EK_ACT)
#undef EK_ACT
}

static void bag_weight_gradients(const ek_bag_tile *tile) {
#define EK_ACT(format) weight_gradients_##format(tile)
  EK_OF_FORMAT(tile->table.format, EK_ACT)
#undef EK_ACT
}

#endif
