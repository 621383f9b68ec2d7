// Gather from rows of any format, decode, add and store: `embed` whose token rows are never written
// out as floats. Arithmetic is in floats, each operation rounded on its own, and rounded to the
// output's type once.
//
// Only the format is known when compiling: the rest are branches that always go the same way.
//
// Bytes a row: a row read from the token table, a cached position row, and the output's row
// written.
#ifndef EMBEDKERNEL_EMBED_ROWS_H
#define EMBEDKERNEL_EMBED_ROWS_H

#include "row_load.h"
#include "walk.h"

#pragma STDC FP_CONTRACT OFF

/// A row, while the row `soon` is prefetched.
EK_INLINE void embed_row_of(ek_row_format format, const ek_row_tile *tile, size_t row,
                            const char *position, const char *soon, char *out) {
  const size_t dim = tile->table.dim, to = bytes_of(tile->output), in = bytes_of(tile->positions);
  const char *const bytes = row_at(&tile->table, row), *const scales = scales_at(&tile->table, row);
  // A streaming store takes a whole line.
  const bool streaming = tile->rows.streaming && (uintptr_t)out % 64 == 0;
  const float scale = tile->rows.scale;
  if (soon) __builtin_prefetch(soon + tile->table.row_bytes - 1, 0, 2);
  EK_EACH_TWO(dim, i, n, {
    if (soon) prefetch(soon + i / 32 * step_bytes(format), step_bytes(format));
    two v = load_row(format, bytes, scales, dim, i, n);
    v = (two){v.a * scale, v.b * scale};
    if (position) {
      const two p = load_two(position + i * in, tile->positions, false, n);
      v = (two){v.a + p.a, v.b + p.b};
    }
    store_two(out + i * to, v, tile->output, false, n, streaming);
  });
}

/// The rows of a nest, as `embed_nest` walks them.
EK_INLINE void embed_rows_nest(ek_row_format format, const ek_row_tile *given) {
  const ek_row_tile tile = *given;
  const ek_embed_tile *const nest = &tile.rows;
  const char *const positions = (const char *)nest->positions;
  char *const output = (char *)nest->output;
  const size_t to = nest->dim * bytes_of(tile.output), in = nest->dim * bytes_of(tile.positions);
  const bool ahead_is_wanted = nest->prefetch_rows > 0;
  cursor ahead = {0, 0, 0};
  if (ahead_is_wanted) ahead = cursor_ahead(nest);
  for (size_t o = 0; o < nest->outer.count; o++) {
    size_t n = o * nest->outer.tokens, place = o * nest->outer.positions;
    for (size_t i = 0; i < nest->inner.count; i++) {
      const char *soon = NULL;
      if (ahead_is_wanted && ahead.outer < nest->outer.count) {
        soon = row_at(&tile.table, token_id(nest, ahead.token));
        ahead = next_token(nest, ahead);
      }
      embed_row_of(format, &tile, token_id(nest, n),
                   positions ? positions + position_id(nest, place) * in : NULL, soon,
                   output + n * to);
      n += nest->inner.tokens;
      place += nest->inner.positions;
    }
  }
  if (nest->streaming) fence();
}

static void embed_rows(const ek_row_tile *tile){
#define EK_ACT(format) embed_rows_nest(format, tile)
    EK_OF_FORMAT(tile -> table.format, EK_ACT)
#undef EK_ACT
}

/// Columns `column`..<`column + count` of a row as floats, `column` a multiple of 32.
EK_INLINE void decode_row_of(ek_row_format format, const ek_rows *table, size_t row, size_t column,
                             size_t count, float *out) {
  const char *const bytes = row_at(table, row), *const scales = scales_at(table, row);
  EK_EACH_TWO(count, i, n, {
    const two v = load_row(format, bytes, scales, table->dim, column + i, n);
    store_two(out + i, v, EK_F32, false, n, false);
  });
}

static void decode_row(const ek_rows *table, size_t row, size_t column, size_t count, float *out) {
#define EK_ACT(format) decode_row_of(format, table, row, column, count, out)
  EK_OF_FORMAT(table->format, EK_ACT)
#undef EK_ACT
}

#endif
