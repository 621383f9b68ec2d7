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

/// What a row's loop reads over and over.
typedef struct row_step {
  const char *row, *scales, *position;  ///< `position` is NULL where none is added.
  char *out;
  size_t dim;
  float scale;
  bool scaled, streaming;
} row_step;

/// out[:] = scale * row[:] + position[:]. Inlined where the element types are known when compiling.
EK_INLINE void embed_columns(ek_row_format format, row_step s, ek_element positions,
                             ek_element output) {
  EK_EACH_TWO(s.dim, i, n, {
    two v = load_row(format, s.row, s.scales, s.dim, i, n);
    if (s.scaled) v = (two){v.a * s.scale, v.b * s.scale};
    if (s.position) {
      const two p = load_two(s.position + i * bytes_of(positions), positions, false, n);
      v = (two){v.a + p.a, v.b + p.b};
    }
    store_two(s.out + i * bytes_of(output), v, output, false, n, s.streaming);
  });
}

/// The rows of a nest, as `embed_nest` walks them; floats have a loop of their own.
EK_INLINE void embed_rows_nest(ek_row_format format, const ek_row_tile *given) {
  const ek_row_tile tile = *given;
  const ek_embed_tile *const nest = &tile.rows;
  const char *const positions = (const char *)nest->positions;
  char *const output = (char *)nest->output;
  const size_t to = nest->dim * bytes_of(tile.output), in = nest->dim * bytes_of(tile.positions);
  const bool are_floats = tile.output == EK_F32 && tile.positions == EK_F32;
  cursor ahead = {nest->outer.count, 0, 0};
  if (nest->prefetch_rows > 0) ahead = cursor_ahead(nest);
  for (size_t o = 0; o < nest->outer.count; o++) {
    size_t n = o * nest->outer.tokens, place = o * nest->outer.positions;
    for (size_t i = 0; i < nest->inner.count; i++) {
      if (ahead.outer < nest->outer.count) {
        // Quantised rows are short: their lines are asked for at once.
        const char *const soon = row_at(&tile.table, token_id(nest, ahead.token));
        prefetch(soon, tile.table.row_bytes);
        __builtin_prefetch(soon + tile.table.row_bytes - 1, 0, 2);
        ahead = next_token(nest, ahead);
      }
      const size_t row = token_id(nest, n);
      row_step step = {
          row_at(&tile.table, row),
          scales_at(&tile.table, row),
          positions ? positions + position_id(nest, place) * in : NULL,
          output + n * to,
          nest->dim,
          nest->scale,
          nest->scale != 1,
          false,
      };
      // A streaming store takes a whole line.
      step.streaming = nest->streaming && (uintptr_t)step.out % 64 == 0;
      if (are_floats)
        embed_columns(format, step, EK_F32, EK_F32);
      else
        embed_columns(format, step, tile.positions, tile.output);
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
