// Bags: the rows of a bag's ids pooled in registers, a block of columns at a time, and written
// once.
//
// Bytes an id: the bytes of its row, read at random, which is what the time goes into. Bytes a bag:
// D elements written.
//
// The order is part of the contract: ids from left to right, from zero on, each product and sum
// rounded on its own, so all sets and any cut into columns give the same bits.
#ifndef EMBEDKERNEL_BAG_H
#define EMBEDKERNEL_BAG_H

#include "bag_pool.h"
#include "row_write.h"

#pragma STDC FP_CONTRACT OFF

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
  // A streaming store takes a whole line.
  const bool lines = t->streaming && (uintptr_t)((float *)t->output + at) % 64 == 0;
#pragma clang loop unroll(full)
  for (size_t s = 0; s < block->steps; s++) {
    const size_t column = at + s * columns_of_step, count = step_columns(block, s);
    if (t->output_type == EK_F32)
      store_two((float *)t->output + column, values[s], EK_F32, false, count, lines);
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
                          size_t end, bag_block block, bool is_plain) {
  two values[bag_steps];
  const size_t bytes = t->table.row_bytes, at = block.column / columns_of_step * step_bytes(format);
  const size_t to = block.column + (block.steps - 1) * columns_of_step + block.rest;
  block.prefetch_at = at < bytes ? at : bytes;
  // What stands behind a row's columns comes with the last of them.
  block.prefetch_bytes =
      to == t->table.dim ? bytes - block.prefetch_at : block.steps * step_bytes(format);
  block.prefetches_end = bytes % 64 != 0 && block.prefetch_bytes > 0;
  if (!is_plain && t->pool == EK_POOL_MAX) {
    ints winner[2];
    max_bag(t, format, start, end, &block, values, winner);
    if (t->winners) write_winners(t, bag, &block, winner);
  } else {
    if (is_plain)
      sum_plain_bag(t, format, start, end, &block, values);
    else
      sum_bag(t, format, start, end, &block, values);
    if (t->pool == EK_POOL_MEAN && start < end) {
      const size_t members = is_plain ? end - start : bag_members(t, start, end);
      const float count = (float)(members ? members : 1);
#pragma clang loop unroll(full)
      for (size_t s = 0; s < block.steps; s++)
        values[s] = (two){values[s].a / count, values[s].b / count};
    }
  }
  write_bag(t, bag, &block, values);
}

/// Blocks of `steps` or more are taken while there are columns for them, and so on with half as
/// many.
EK_INLINE void pool_bag(const ek_bag_tile *t, ek_row_format format, size_t bag, size_t start,
                        size_t end, bool is_plain) {
  const size_t last = t->column + t->columns;
  const size_t most = !is_plain && t->pool == EK_POOL_MAX ? 1 : format <= EK_ROWS_BF16 ? 8 : 4;
  size_t column = t->column;
#define EK_BLOCKS(n)                                                                      \
  if ((n) <= bag_steps && most >= (n))                                                    \
    while (column + ((n) - 1) * columns_of_step < last) {                                 \
      const size_t left = last - column - ((n) - 1) * columns_of_step;                    \
      const size_t rest = is_plain || left > columns_of_step ? columns_of_step : left;    \
      pool_block(t, format, bag, start, end, (bag_block){column, (n), rest, 0, 0, false}, \
                 is_plain);                                                               \
      column += (n) * columns_of_step;                                                    \
    }
  EK_BLOCKS(8)
  EK_BLOCKS(4)
  EK_BLOCKS(2)
  EK_BLOCKS(1)
#undef EK_BLOCKS
}

/// A bag of one id: its row, added to zero, goes to the output as it is decoded.
EK_INLINE void write_only_row(const ek_bag_tile *t, ek_row_format format, size_t bag, size_t at,
                              size_t row, bool is_plain) {
  const char *const bytes = row_at(&t->table, row), *soon = bytes;
  const size_t ahead = at + t->prefetch_rows;
  if (ahead < t->bags.ids)
    soon = bag_row_address(t, is_plain ? plain_row(t, ahead) : (size_t)bag_id(t, ahead));
  const row_place place = {
      bytes,
      scales_at(&t->table, row),
      t->table.dim,
      !is_plain && t->weights ? t->weights[at] : 1,
      NULL,
      (float *)t->output + bag * t->table.dim,
      t->streaming,
      soon,
      t->table.row_bytes,
  };
  output_row(format, place, ZERO);
}

/// A vector added to zero, without arithmetic, for which CPUs lower their clock.
EK_INLINE vec added_to_zero(vec v) { return (bits)v == 0x80000000 ? (vec)0 : v; }

/// Bags of one id of a tile that `has_plain_ids`, as many as follow each other: rows of floats,
/// past the cache where the output's start lines. Returns how many.
EK_INLINE size_t copy_rows(const ek_bag_tile *t, size_t bag, size_t at, bool streaming) {
  const size_t first = bag, dim = t->table.dim, last = t->bags.ids - 1;
  float *out = (float *)t->output + bag * dim;
  for (; bag < t->last && ek_bag_end(&t->bags, bag, at) == at + 1; bag++, at++, out += dim) {
    const size_t ahead = at + t->prefetch_rows;
    const float *row = (const float *)row_at(&t->table, plain_row(t, at));
    const float *soon = (const float *)row_at(&t->table, plain_row(t, ahead < last ? ahead : last));
    // Line by line: two at once took 2% more.
    for (size_t i = 0; i < dim; i += lanes) {
      if (t->prefetch_rows) prefetch(soon + i, 4 * lanes);
      put(out + i, added_to_zero(load(row + i, lanes, 0)), lanes, streaming);
    }
  }
  return bag - first;
}

EK_INLINE void pool_bags(const ek_bag_tile *tile, ek_row_format format, bool is_plain) {
  // A copy that nothing else can point to, so that its fields stay in registers.
  const ek_bag_tile t = *tile;
  const bool copies =
      t.pool != EK_POOL_MAX && t.output_type == EK_F32 && t.longest > 0 && t.columns == t.table.dim;
  const bool copies_floats =
      copies && is_plain && format == EK_ROWS_F32 && !(t.streaming && (uintptr_t)t.output % 64);
  size_t start = t.start;
  for (size_t bag = t.first; bag < t.last; bag++) {
    const size_t end = ek_bag_end(&t.bags, bag, start);
    if (copies_floats && end == start + 1) {
      const size_t count =
          t.streaming ? copy_rows(&t, bag, start, true) : copy_rows(&t, bag, start, false);
      bag += count - 1, start += count;
      continue;
    }
    int64_t only = left_out;
    if (copies && t.streaming && end == start + 1)
      only = is_plain ? (int64_t)plain_row(&t, start) : bag_row(&t, start);
    if (only >= 0)
      write_only_row(&t, format, bag, start, (size_t)only, is_plain);
    else if (end - start <= t.longest)
      pool_bag(&t, format, bag, start, end, is_plain);
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
  const row_factors factors = factors_of(format, bytes, scales, t->table.dim);
  two sum = {0, 0};
  EK_EACH_TWO(t->table.dim, i, n, {
    two x = load_row(format, bytes, scales, factors, i, n, false);
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
    if (tile->pool != EK_POOL_MAX && has_plain_ids(tile))                                    \
      pool_bags(tile, format, true);                                                         \
    else                                                                                     \
      pool_bags(tile, format, false);                                                        \
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
