// A tile's rows summed, normalised and dropped from in one visit, and the backward of it.
// Statistics and mask are computed again in the backward: nothing is kept.
//
// Bytes a row of floats: D*4 read from the token table, D*4 written; backward, D*4 of the gradient
// more. Tables and outputs of 16-bit elements take half of theirs.
#ifndef EMBEDKERNEL_NORMALIZE_H
#define EMBEDKERNEL_NORMALIZE_H

#include "normalize_backward.h"
#include "normalize_forward.h"

EK_INLINE size_t segment_of(const ek_normalize_tile *tile, size_t token) {
  if (!tile->segment_ids) return 0;
  return tile->rows.id_bytes == 4 ? (size_t)((const uint32_t *)tile->segment_ids)[token]
                                  : (size_t)((const uint64_t *)tile->segment_ids)[token];
}

/// The row of token `n` of a nest, and the row that is prefetched with it.
EK_INLINE visit arrive(const ek_normalize_tile *tile, size_t n, size_t place, cursor *ahead,
                       row_form form) {
  const ek_embed_tile *nest = &tile->rows;
  const size_t in = nest->dim * width_of(tile->input, form);
  const size_t to = nest->dim * width_of(tile->output, form);
  const char *tokens = (const char *)nest->tokens;
  visit at = {.out = (char *)nest->output + n * to, .n = n, .row = {0, 1}};
  at.s.type = tile->input;
  at.s.token = tokens + (nest->ids ? token_id(nest, n) : n) * in;
  at.s.scale = nest->scale;
  if (form.from == TWO_ROWS || nest->positions)
    at.s.position = (const char *)nest->positions + position_id(nest, place) * in;
  if (form.from == ANY_SUM && tile->segments)
    at.s.segment = (const char *)tile->segments + segment_of(tile, n) * in;
  if (nest->prefetch_rows && ahead->outer < nest->outer.count) {
    at.soon = tokens + (nest->ids ? token_id(nest, ahead->token) : ahead->token) * in;
    *ahead = next_token(nest, *ahead);
  }
  return at;
}

/// Visits a nest's rows: one is written while the next makes its second pass and the one after
/// that its first.
EK_INLINE void walk_forward(const ek_normalize_tile *tile, row_form form) {
  const ek_embed_tile *nest = &tile->rows;
  cursor ahead = cursor_ahead(nest);
  const size_t room = (nest->dim + lanes - 1) / lanes * lanes;
  float stored[3 * longest_stored] __attribute__((aligned(64)));
  visit rows[3], *writes = NULL, *squares = NULL;
  size_t seen = 0;
  for (size_t o = 0; o < nest->outer.count; o++) {
    size_t n = o * nest->outer.tokens, place = o * nest->outer.positions;
    for (size_t i = 0; i < nest->inner.count; i++) {
      const size_t slot = seen++ % 3;
      visit *sums = &rows[slot];
      *sums = arrive(tile, n, place, &ahead, form);
      sums->s.x = stored + (form.stores ? slot * room : 0);
      if (writes)
        forward_passes(tile, writes, squares, sums, form);
      else
        forward_ends(tile, NULL, squares, sums, form);
      writes = squares;
      squares = sums;
      n += nest->inner.tokens;
      place += nest->inner.positions;
    }
  }
  if (squares) {
    forward_ends(tile, writes, squares, NULL, form);
    forward_ends(tile, squares, NULL, NULL, form);
  }
}

/// Visits a nest's rows in the order in which parameters are summed.
EK_INLINE void walk_backward(const ek_normalize_gradient_tile *tile, row_form form) {
  const ek_normalize_tile *forward = &tile->forward;
  const ek_embed_tile *nest = &forward->rows;
  const size_t dim = nest->dim;
  cursor ahead = cursor_ahead(nest);
  float stored[longest_stored] __attribute__((aligned(64)));
  for (size_t o = 0; o < nest->outer.count; o++) {
    size_t n = o * nest->outer.tokens, place = o * nest->outer.positions;
    for (size_t i = 0; i < nest->inner.count; i++) {
      if (nest->prefetch_rows && ahead.outer < nest->outer.count)
        prefetch(tile->gradient + ahead.token * dim, dim * sizeof(float));
      visit at = arrive(forward, n, place, &ahead, form);
      at.s.x = stored;
      float *segment = tile->segments ? tile->segments + segment_of(forward, n) * dim : NULL;
      backward_row(tile, &at, tile->gradient + n * dim, segment, form);
      n += nest->inner.tokens;
      place += nest->inner.positions;
    }
  }
}

EK_INLINE void walk_form(const ek_normalize_tile *tile, const ek_normalize_gradient_tile *backward,
                         row_form form) {
  if (backward)
    walk_backward(backward, form);
  else
    walk_forward(tile, form);
}

EK_INLINE void walk_kinds(const ek_normalize_tile *tile, const ek_normalize_gradient_tile *backward,
                          row_form form) {
  switch (tile->kind) {
    case EK_LAYER_NORM: walk_form(tile, backward, (form.kind = EK_LAYER_NORM, form)); break;
    case EK_RMS_NORM: walk_form(tile, backward, (form.kind = EK_RMS_NORM, form)); break;
    default: walk_form(tile, backward, (form.stores = false, form)); break;
  }
}

/// Forms that are common get loops of their own; the others share.
EK_INLINE void walk_any(const ek_normalize_tile *tile, const ek_normalize_gradient_tile *backward) {
  const bool two_rows = tile->rows.positions && !tile->segments && tile->rows.scale == 1;
  const bool drops = tile->dropout.threshold != 0;
  if (tile->input != EK_F32 || tile->output != EK_F32) {
    const bool stores = tile->rows.dim <= longest_stored;
    if (stores && drops)
      walk_kinds(tile, backward,
                 (row_form){.from = ANY_SUM, .stores = true, .drops = true, .typed = true});
    else if (stores)
      walk_kinds(tile, backward, (row_form){.from = ANY_SUM, .stores = true, .typed = true});
    else if (drops)
      walk_kinds(tile, backward, (row_form){.from = ANY_SUM, .drops = true, .typed = true});
    else
      walk_kinds(tile, backward, (row_form){.from = ANY_SUM, .typed = true});
  } else if (tile->rows.dim > longest_stored) {
    if (drops)
      walk_kinds(tile, backward, (row_form){.from = ANY_SUM, .drops = true});
    else
      walk_kinds(tile, backward, (row_form){.from = ANY_SUM});
  } else if (drops) {
    walk_kinds(tile, backward, (row_form){.from = ANY_SUM, .stores = true, .drops = true});
  } else if (two_rows) {
    walk_kinds(tile, backward, (row_form){.from = TWO_ROWS, .stores = true});
  } else {
    walk_kinds(tile, backward, (row_form){.from = ANY_SUM, .stores = true});
  }
  if (tile->rows.streaming) fence();
}

static void normalize(const ek_normalize_tile *tile) {
  const ek_normalize_tile copy = *tile;
  walk_any(&copy, NULL);
}

static void normalize_gradient(const ek_normalize_gradient_tile *tile) {
  const ek_normalize_gradient_tile copy = *tile;
  walk_any(&copy.forward, &copy);
}

#endif
