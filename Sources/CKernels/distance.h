// Adding and summing a table along the diagonals of a tile of logits: rows whose table entries move
// back by one. Logits of 16 bits are widened, added to as floats and rounded once.
//
// Bytes a logit: 4 read and 4 written, or 2 and 2; the table's row stays in cache.
#ifndef EMBEDKERNEL_DISTANCE_H
#define EMBEDKERNEL_DISTANCE_H

#include "element.h"

/// The columns that row `row` sees.
EK_INLINE size_t seen_columns(const ek_distance_tile *tile, size_t row) {
  ptrdiff_t columns = (ptrdiff_t)tile->columns;
  if (tile->visible >= columns) return tile->columns;
  ptrdiff_t seen = tile->visible + (ptrdiff_t)row;
  return seen < 0 ? 0 : seen < columns ? (size_t)seen : tile->columns;
}

/// y[:] += x[:], or y[:] = x[:]
EK_INLINE void add_elements(void *y, ek_element to, const void *x, ek_element from, size_t count,
                            bool overwrite) {
  char *out = y;
  const char *in = x;
  const size_t out_size = bytes_of(to), in_size = bytes_of(from);
  EK_EACH_TWO(count, i, n, {
    two v = load_two(in + i * in_size, from, false, n);
    if (!overwrite) {
      const two old = load_two(out + i * out_size, to, false, n);
      v = (two){old.a + v.a, old.b + v.b};
    }
    store_two(out + i * out_size, v, to, false, n, false);
  });
}

/// y[:] = minus infinity
EK_INLINE void hide_elements(void *y, ek_element type, size_t count) {
  if (type == EK_F32)
    for (size_t i = 0; i < count; i++) ((uint32_t *)y)[i] = 0xFF800000;
  else
    for (size_t i = 0; i < count; i++) ((uint16_t *)y)[i] = type == EK_BF16 ? 0xFF80 : 0xFC00;
}

EK_INLINE void add_tile(const ek_distance_tile *tile, ek_element type, bool overwrite) {
  const ek_distance_tile t = *tile;
  const size_t size = bytes_of(type);
  for (size_t r = 0; r < t.rows; r++) {
    char *logits = (char *)t.logits + r * t.stride * size;
    const size_t seen = seen_columns(&t, r);
    add_elements(logits, type, t.table - r, EK_F32, seen, overwrite);
    hide_elements(logits + seen * size, type, t.columns - seen);
  }
}

EK_INLINE void add_tile_of(const ek_distance_tile *tile, ek_element type) {
  if (tile->overwrite)
    add_tile(tile, type, true);
  else
    add_tile(tile, type, false);
}

static void add_by_distance(const ek_distance_tile *tile) {
  switch (tile->element) {
    case EK_F32: return add_tile_of(tile, EK_F32);
    case EK_F16: return add_tile_of(tile, EK_F16);
    case EK_BF16: return add_tile_of(tile, EK_BF16);
  }
}

EK_INLINE void sum_tile(const ek_distance_tile *tile, ek_element type) {
  const ek_distance_tile t = *tile;
  for (size_t r = 0; r < t.rows; r++)
    add_elements(t.table - r, EK_F32, (const char *)t.logits + r * t.stride * bytes_of(type), type,
                 seen_columns(&t, r), false);
}

static void sum_by_distance(const ek_distance_tile *tile) {
  switch (tile->element) {
    case EK_F32: return sum_tile(tile, EK_F32);
    case EK_F16: return sum_tile(tile, EK_F16);
    case EK_BF16: return sum_tile(tile, EK_BF16);
  }
}

#endif
