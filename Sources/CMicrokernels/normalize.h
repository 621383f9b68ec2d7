// A tile's rows summed, normalised and dropped from in one visit, and the backward of it.
// Statistics and mask are computed again in the backward: nothing is kept.
#include "normalize_backward.h"
#include "normalize_forward.h"

EK_FUNCTION size_t segment_of(const ek_normalize_tile *tile, size_t token) {
  if (!tile->segment_ids) return 0;
  return tile->rows.id_bytes == 4 ? (size_t)((const uint32_t *)tile->segment_ids)[token]
                                  : (size_t)((const uint64_t *)tile->segment_ids)[token];
}

/// The row of token `n` of a nest, and the row that is prefetched with it.
EK_FUNCTION visit arrive(const ek_normalize_tile *tile, size_t n, size_t place, ek_cursor *ahead,
                         form from) {
  const ek_embed_tile *nest = &tile->rows;
  const size_t dim = nest->dim;
  visit at = {.out = nest->output + n * dim, .n = n, .row = {0, 1}};
  at.s.token = nest->ids ? ek_token_row(nest, n) : nest->tokens + n * dim;
  at.s.scale = nest->scale;
  if (from == TWO_ROWS || nest->positions) at.s.position = ek_position_row(nest, place);
  if (from == ANY_SUM && tile->segments) at.s.segment = tile->segments + segment_of(tile, n) * dim;
  if (nest->prefetch_rows && ahead->outer < nest->outer.count) {
    at.soon = nest->ids ? ek_token_row(nest, ahead->token) : nest->tokens + ahead->token * dim;
    *ahead = ek_next(nest, *ahead);
  }
  return at;
}

EK_FUNCTION ek_cursor cursor_ahead(const ek_embed_tile *nest) {
  ek_cursor ahead = {0, 0, 0};
  for (size_t i = 0; i < nest->prefetch_rows; i++) ahead = ek_next(nest, ahead);
  return ahead;
}

/// Visits a nest's rows: one is written while the next makes its second pass and the one after
/// that its first.
EK_FUNCTION void walk_forward(const ek_normalize_tile *tile, form from, bool stores,
                              ek_normalization kind, bool drops) {
  const ek_embed_tile *nest = &tile->rows;
  ek_cursor ahead = cursor_ahead(nest);
  const size_t room = (nest->dim + 15) & ~(size_t)15;
  float stored[3 * longest_stored] __attribute__((aligned(64)));
  visit rows[3], *writes = NULL, *squares = NULL;
  size_t seen = 0;
  for (size_t o = 0; o < nest->outer.count; o++) {
    size_t n = o * nest->outer.tokens, place = o * nest->outer.positions;
    for (size_t i = 0; i < nest->inner.count; i++) {
      const size_t slot = seen++ % 3;
      visit *sums = &rows[slot];
      *sums = arrive(tile, n, place, &ahead, from);
      sums->s.x = stored + (stores ? slot * room : 0);
      if (writes)
        forward_passes(tile, writes, squares, sums, from, stores, kind, drops);
      else
        forward_ends(tile, NULL, squares, sums, from, stores, kind, drops);
      writes = squares;
      squares = sums;
      n += nest->inner.tokens;
      place += nest->inner.positions;
    }
  }
  if (squares) {
    forward_ends(tile, writes, squares, NULL, from, stores, kind, drops);
    forward_ends(tile, squares, NULL, NULL, from, stores, kind, drops);
  }
}

/// Visits a nest's rows in the order in which parameters are summed.
EK_FUNCTION void walk_backward(const ek_normalize_gradient_tile *tile, form from, bool stores,
                               ek_normalization kind, bool drops) {
  const ek_normalize_tile *forward = &tile->forward;
  const ek_embed_tile *nest = &forward->rows;
  const size_t dim = nest->dim;
  ek_cursor ahead = cursor_ahead(nest);
  float stored[longest_stored] __attribute__((aligned(64)));
  for (size_t o = 0; o < nest->outer.count; o++) {
    size_t n = o * nest->outer.tokens, place = o * nest->outer.positions;
    for (size_t i = 0; i < nest->inner.count; i++) {
      if (nest->prefetch_rows && ahead.outer < nest->outer.count)
        prefetch(tile->gradient + ahead.token * dim, 0, dim);
      visit at = arrive(forward, n, place, &ahead, from);
      at.s.x = stored;
      float *segment =
          tile->segments ? tile->segments + segment_of(forward, n) * dim : NULL;
      backward_row(tile, &at.s, at.soon, tile->gradient + n * dim, at.out, segment, n, from,
                   stores, kind, drops);
      n += nest->inner.tokens;
      place += nest->inner.positions;
    }
  }
}

EK_FUNCTION void walk_of_kind(const ek_normalize_tile *tile,
                              const ek_normalize_gradient_tile *backward, form from, bool stores,
                              ek_normalization kind, bool drops) {
  if (backward)
    walk_backward(backward, from, stores, kind, drops);
  else
    walk_forward(tile, from, stores, kind, drops);
}

EK_FUNCTION void walk_of_form(const ek_normalize_tile *tile,
                              const ek_normalize_gradient_tile *backward, form from, bool stores,
                              bool drops) {
  switch (tile->kind) {
    case EK_LAYER_NORM: walk_of_kind(tile, backward, from, stores, EK_LAYER_NORM, drops); break;
    case EK_RMS_NORM: walk_of_kind(tile, backward, from, stores, EK_RMS_NORM, drops); break;
    default: walk_of_kind(tile, backward, from, false, EK_NO_NORM, drops); break;
  }
}

/// Forms that are common get loops of their own; the others share.
EK_FUNCTION void walk_any(const ek_normalize_tile *tile,
                          const ek_normalize_gradient_tile *backward) {
  const bool two_rows = tile->rows.positions && !tile->segments && tile->rows.scale == 1;
  const bool drops = tile->dropout.threshold != 0, stores = tile->rows.dim <= longest_stored;
  if (!stores)
    walk_of_form(tile, backward, ANY_SUM, false, drops);
  else if (drops)
    walk_of_form(tile, backward, ANY_SUM, true, true);
  else if (two_rows)
    walk_of_form(tile, backward, TWO_ROWS, true, false);
  else
    walk_of_form(tile, backward, ANY_SUM, true, false);
#if defined(__x86_64__)
  if (tile->rows.streaming) __builtin_ia32_sfence();
#endif
}

EK_FUNCTION void normalize(const ek_normalize_tile *tile) {
  const ek_normalize_tile copy = *tile;
  walk_any(&copy, NULL);
}

EK_FUNCTION void normalize_gradient(const ek_normalize_gradient_tile *tile) {
  const ek_normalize_gradient_tile copy = *tile;
  walk_any(&copy.forward, &copy);
}
