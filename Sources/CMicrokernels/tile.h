// Walking a tile's rows, the same for every instruction set.
#ifndef EMBEDKERNEL_TILE_H
#define EMBEDKERNEL_TILE_H

#include "CMicrokernels.h"

#define EK_INLINE static inline __attribute__((always_inline))

EK_INLINE const float *ek_token_row(const ek_embed_tile *tile, size_t token) {
  size_t id = tile->id_bytes == 4 ? (size_t)((const uint32_t *)tile->ids)[token]
                                  : (size_t)((const uint64_t *)tile->ids)[token];
  return tile->tokens + id * tile->dim;
}

EK_INLINE const float *ek_position_row(const ek_embed_tile *tile, size_t position) {
  size_t row = tile->position_ids ? (size_t)(uint32_t)tile->position_ids[position] : position;
  return tile->positions + row * tile->dim;
}

/// A token of the nest, in visiting order.
typedef struct ek_cursor {
  size_t outer, inner, token, position;
} ek_cursor;

EK_INLINE ek_cursor ek_next(const ek_embed_tile *tile, ek_cursor at) {
  if (++at.inner < tile->inner.count) {
    at.token += tile->inner.tokens;
    at.position += tile->inner.positions;
  } else {
    at.inner = 0;
    at.outer++;
    at.token = at.outer * tile->outer.tokens;
    at.position = at.outer * tile->outer.positions;
  }
  return at;
}

/// Calls `row` for each token of the nest with constant flags, so that each combination compiles
/// to a loop of its own. `row` must be an always-inline function.
///
/// The prefetched row is the next but some in visiting order, across the ends of inner loops.
#define EK_WALK_ROWS(tile, row, scaled, positioned, streaming)                                    \
  do {                                                                                            \
    ek_cursor ahead = {0, 0, 0, 0};                                                               \
    for (size_t i = 0; i < tile->prefetch_rows && ahead.outer < tile->outer.count; i++)           \
      ahead = ek_next(tile, ahead);                                                               \
    for (ek_cursor at = {0, 0, 0, 0}; at.outer < tile->outer.count; at = ek_next(tile, at)) {     \
      const float *soon = NULL;                                                                   \
      if (tile->prefetch_rows && ahead.outer < tile->outer.count) {                               \
        soon = ek_token_row(tile, ahead.token);                                                   \
        ahead = ek_next(tile, ahead);                                                             \
      }                                                                                           \
      row(ek_token_row(tile, at.token), positioned ? ek_position_row(tile, at.position) : NULL,   \
          soon, tile->output + at.token * tile->dim, tile->dim, tile->scale, scaled, positioned,  \
          streaming);                                                                             \
    }                                                                                             \
  } while (0)

#define EK_EMBED(tile, row)                                            \
  do {                                                                 \
    bool scaled = tile->scale != 1;                                    \
    if (tile->positions && !scaled && !tile->streaming)                \
      EK_WALK_ROWS(tile, row, false, true, false);                     \
    else if (tile->positions && !scaled)                               \
      EK_WALK_ROWS(tile, row, false, true, true);                      \
    else if (tile->positions && !tile->streaming)                      \
      EK_WALK_ROWS(tile, row, true, true, false);                      \
    else if (tile->positions)                                          \
      EK_WALK_ROWS(tile, row, true, true, true);                       \
    else if (tile->streaming)                                          \
      EK_WALK_ROWS(tile, row, true, false, true);                      \
    else                                                               \
      EK_WALK_ROWS(tile, row, true, false, false);                     \
  } while (0)

#endif
