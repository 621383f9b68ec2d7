// Finding the rows of a nest of tokens: its ids, its positions, and the row to prefetch.
#ifndef EMBEDKERNEL_WALK_H
#define EMBEDKERNEL_WALK_H

#include "CKernels.h"
#include "vector.h"

EK_INLINE size_t token_id(const ek_embed_tile *tile, size_t token) {
  return tile->id_bytes == 4 ? (size_t)((const uint32_t *)tile->ids)[token]
                             : (size_t)((const uint64_t *)tile->ids)[token];
}

EK_INLINE size_t position_id(const ek_embed_tile *tile, size_t position) {
  return tile->position_ids ? (size_t)(uint32_t)tile->position_ids[position] : position;
}

/// The token to prefetch, in visiting order.
typedef struct cursor {
  size_t outer, inner, token;
} cursor;

EK_INLINE cursor next_token(const ek_embed_tile *tile, cursor at) {
  if (++at.inner < tile->inner.count) {
    at.token += tile->inner.tokens;
  } else {
    at.inner = 0;
    at.token = ++at.outer * tile->outer.tokens;
  }
  return at;
}

/// The token that is `prefetch_rows` after the first.
EK_INLINE cursor cursor_ahead(const ek_embed_tile *tile) {
  cursor ahead = {0, 0, 0};
  for (size_t i = 0; i < tile->prefetch_rows; i++) ahead = next_token(tile, ahead);
  return ahead;
}

/// How a tile's bytes move: data in cache; rows to come prefetched; and written past the cache too.
typedef enum traffic { CACHED, PREFETCHED, STREAMED } traffic;

#endif
