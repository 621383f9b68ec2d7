// Walking a tile of logits by rows whose table entries move back by one, the same for every
// instruction set.
#ifndef EMBEDKERNEL_DISTANCE_H
#define EMBEDKERNEL_DISTANCE_H

#include "tile.h"

/// The columns that row `row` sees.
EK_INLINE size_t ek_seen(const ek_distance_tile *tile, size_t row) {
  ptrdiff_t columns = (ptrdiff_t)tile->columns;
  if (tile->visible >= columns) return tile->columns;
  ptrdiff_t seen = tile->visible + (ptrdiff_t)row;
  return seen < 0 ? 0 : seen < columns ? (size_t)seen : tile->columns;
}

/// Calls the always-inline row functions `add(y, x, count)`, `copy` and `hide(y, count)`.
#define EK_ADD_BY_DISTANCE(tile, add, copy, hide)                            \
  do {                                                                       \
    const ek_distance_tile t = *tile;                                        \
    for (size_t r = 0; r < t.rows; r++) {                                    \
      float *logits = (float *)t.logits + r * t.stride;                      \
      size_t seen = ek_seen(&t, r);                                          \
      if (t.overwrite)                                                       \
        copy(logits, t.table - r, seen);                                     \
      else                                                                   \
        add(logits, t.table - r, seen);                                      \
      hide(logits + seen, t.columns - seen);                                 \
    }                                                                        \
  } while (0)

#define EK_SUM_BY_DISTANCE(tile, add)                                           \
  do {                                                                          \
    const ek_distance_tile t = *tile;                                           \
    for (size_t r = 0; r < t.rows; r++)                                         \
      add(t.table - r, (const float *)t.logits + r * t.stride, ek_seen(&t, r)); \
  } while (0)

#endif
