// Walking a tile's rows, the same for every instruction set.
#ifndef EMBEDKERNEL_TILE_H
#define EMBEDKERNEL_TILE_H

#include "CMicrokernels.h"

#define EK_INLINE static inline __attribute__((always_inline))

EK_INLINE size_t ek_token_id(const ek_embed_tile *tile, size_t token) {
  return tile->id_bytes == 4 ? (size_t)((const uint32_t *)tile->ids)[token]
                             : (size_t)((const uint64_t *)tile->ids)[token];
}

EK_INLINE size_t ek_position_id(const ek_embed_tile *tile, size_t position) {
  return tile->position_ids ? (size_t)(uint32_t)tile->position_ids[position] : position;
}

EK_INLINE const float *ek_token_row(const ek_embed_tile *tile, size_t token) {
  return tile->tokens + ek_token_id(tile, token) * tile->dim;
}

EK_INLINE const float *ek_position_row(const ek_embed_tile *tile, size_t position) {
  return tile->positions + ek_position_id(tile, position) * tile->dim;
}

/// The token to prefetch, in visiting order.
typedef struct ek_cursor {
  size_t outer, inner, token;
} ek_cursor;

EK_INLINE ek_cursor ek_next(const ek_embed_tile *tile, ek_cursor at) {
  if (++at.inner < tile->inner.count) {
    at.token += tile->inner.tokens;
  } else {
    at.inner = 0;
    at.token = ++at.outer * tile->outer.tokens;
  }
  return at;
}

/// How a tile's bytes move: data in cache; rows to come prefetched; and written past the cache too.
typedef enum ek_traffic { EK_CACHED, EK_PREFETCHED, EK_STREAMED } ek_traffic;

/// Calls `row` for each token of the nest with constant flags, so that each combination compiles
/// to a loop of its own. `row` must be an always-inline function.
///
/// The prefetched row is some rows on in visiting order, across the ends of inner loops; near the
/// end of the nest it is the row itself, which costs nothing.
#define EK_WALK_ROWS(tile, row, scaled, positioned, traffic) \
  EK_WALK_TYPED_ROWS(tile, float, float, row, scaled, positioned, traffic)

/// The same where the tables hold elements of `input_t` and the output those of `output_t`.
#define EK_WALK_TYPED_ROWS(tile, input_t, output_t, row, scaled, positioned, traffic)            \
  do {                                                                                           \
    /* A copy that nothing else can point to, so that its fields stay in registers. */           \
    const ek_embed_tile nest = *(tile);                                                          \
    const input_t *const tokens = (const input_t *)nest.tokens;                                  \
    const input_t *const positions = (const input_t *)nest.positions;                            \
    output_t *const output = (output_t *)nest.output;                                            \
    (void)positions;                                                                             \
    ek_cursor ahead = {0, 0, 0};                                                                 \
    if (traffic != EK_CACHED)                                                                    \
      for (size_t i = 0; i < nest.prefetch_rows; i++) ahead = ek_next(&nest, ahead);             \
    for (size_t o = 0; o < nest.outer.count; o++) {                                              \
      size_t n = o * nest.outer.tokens, place = o * nest.outer.positions;                        \
      for (size_t i = 0; i < nest.inner.count; i++) {                                            \
        const input_t *token = tokens + ek_token_id(&nest, n) * nest.dim, *soon = token;         \
        if (traffic != EK_CACHED && ahead.outer < nest.outer.count) {                            \
          soon = tokens + ek_token_id(&nest, ahead.token) * nest.dim;                            \
          ahead = ek_next(&nest, ahead);                                                         \
        }                                                                                        \
        row(token, positioned ? positions + ek_position_id(&nest, place) * nest.dim : NULL,      \
            soon, output + n * nest.dim, nest.dim, nest.scale, scaled, positioned, traffic);     \
        n += nest.inner.tokens;                                                                  \
        place += nest.inner.positions;                                                           \
      }                                                                                          \
    }                                                                                            \
  } while (0)

#define EK_WALK_TRAFFIC(tile, input_t, output_t, row, scaled, positioned)                        \
  do {                                                                                           \
    if ((tile)->streaming)                                                                       \
      EK_WALK_TYPED_ROWS(tile, input_t, output_t, row, scaled, positioned, EK_STREAMED);         \
    else if ((tile)->prefetch_rows)                                                              \
      EK_WALK_TYPED_ROWS(tile, input_t, output_t, row, scaled, positioned, EK_PREFETCHED);       \
    else                                                                                         \
      EK_WALK_TYPED_ROWS(tile, input_t, output_t, row, scaled, positioned, EK_CACHED);           \
  } while (0)

#define EK_EMBED_TYPED(tile, input_t, output_t, row)                  \
  do {                                                                \
    if (!(tile)->positions)                                           \
      EK_WALK_TRAFFIC(tile, input_t, output_t, row, true, false);     \
    else if ((tile)->scale == 1)                                      \
      EK_WALK_TRAFFIC(tile, input_t, output_t, row, false, true);     \
    else                                                              \
      EK_WALK_TRAFFIC(tile, input_t, output_t, row, true, true);      \
  } while (0)

#define EK_EMBED(tile, row) EK_EMBED_TYPED(tile, float, float, row)

#endif
