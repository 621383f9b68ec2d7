// Gather from rows of any format, decode, add and store: `embed` whose token rows are never written
// out as floats. Arithmetic is in floats, each operation rounded on its own, and rounded to the
// output's type once.
//
// Floats have a loop for each format; other elements pass through L1, some columns at a time.
//
// Bytes a row: a row read from the token table, a cached position row, and the output's row
// written.
#ifndef EMBEDKERNEL_EMBED_ROWS_H
#define EMBEDKERNEL_EMBED_ROWS_H

#include "row_write.h"
#include "walk.h"

#pragma STDC FP_CONTRACT OFF

/// out[:] = scale * row[:] + position[:], none of them if it is NULL.
EK_INLINE void embed_row_of(ek_row_format format, const ek_row_tile *tile, size_t row,
                            const char *soon, const char *position, char *out, bool are_floats) {
  const char *const bytes = row_at(&tile->table, row);
  const row_place place = {
      bytes,
      scales_at(&tile->table, row),
      tile->rows.dim,
      tile->rows.scale,
      (const float *)(const void *)position,
      (float *)(void *)out,
      tile->rows.streaming,
      soon ? soon : bytes,
      tile->table.row_bytes,
  };
  if (are_floats && position) return output_row(format, place, POSITION);
  if (are_floats) return output_row(format, place, NOTHING);
  if (soon) prefetch(soon, place.row_bytes);
  for (size_t column = 0; column < place.dim; column += decoded_columns) {
    float decoded[decoded_columns] __attribute__((aligned(64)));
    const size_t left = place.dim - column, count = left < decoded_columns ? left : decoded_columns;
    write_columns(format, place, NOTHING, column, count, decoded, false);
    write_decoded(decoded, count, position ? position + column * bytes_of(tile->positions) : NULL,
                  tile->positions, out + column * bytes_of(tile->output), tile->output,
                  place.streaming);
  }
}

/// Asks, token by token, for a part of the position row that the next step of the outer loop adds.
EK_INLINE void prefetch_position(const ek_embed_tile *nest, size_t outer, size_t inner,
                                 size_t bytes) {
  if (!nest->prefetch_rows || nest->inner.positions || outer + 1 >= nest->outer.count) return;
  const size_t row = position_id(nest, (outer + 1) * nest->outer.positions);
  const uintptr_t next = (uintptr_t)nest->positions + row * bytes;
  const size_t part = (bytes / nest->inner.count + 64) / 64 * 64, from = inner * part;
  for (size_t k = from; k < from + part && k < bytes; k += 64)
    __builtin_prefetch((const char *)(next + k), 0, 2);
}

/// The rows of a nest, as `embed_nest` walks them.
EK_INLINE void embed_rows_nest(ek_row_format format, const ek_row_tile *given, bool are_floats) {
  const ek_row_tile tile = *given;
  const ek_embed_tile *const nest = &tile.rows;
  const char *const positions = (const char *)nest->positions;
  char *const output = (char *)nest->output;
  const size_t to = nest->dim * bytes_of(tile.output), in = nest->dim * bytes_of(tile.positions);
  cursor ahead = {nest->outer.count, 0, 0};
  if (nest->prefetch_rows > 0) ahead = cursor_ahead(nest);
  for (size_t o = 0; o < nest->outer.count; o++) {
    size_t n = o * nest->outer.tokens, place = o * nest->outer.positions;
    for (size_t i = 0; i < nest->inner.count; i++) {
      const char *soon = NULL;
      if (ahead.outer < nest->outer.count) {
        soon = row_at(&tile.table, token_id(nest, ahead.token));
        ahead = next_token(nest, ahead);
      }
      if (positions) prefetch_position(nest, o, i, in);
      embed_row_of(format, &tile, token_id(nest, n), soon,
                   positions ? positions + position_id(nest, place) * in : NULL, output + n * to,
                   are_floats);
      n += nest->inner.tokens;
      place += nest->inner.positions;
    }
  }
  if (nest->streaming) fence();
}

static void embed_rows(const ek_row_tile *tile) {
  const bool are_floats =
      tile->output == EK_F32 && (tile->positions == EK_F32 || !tile->rows.positions);
#define EK_ACT(format)                   \
  if (are_floats)                        \
    embed_rows_nest(format, tile, true); \
  else                                   \
    embed_rows_nest(format, tile, false)
  EK_OF_FORMAT(tile->table.format, EK_ACT)
#undef EK_ACT
}

/// Columns `column`..<`column + count` of a row as floats, `column` a multiple of 32.
EK_INLINE void decode_row_of(ek_row_format format, const ek_rows *table, size_t row, size_t column,
                             size_t count, float *out) {
  const char *const bytes = row_at(table, row), *const scales = scales_at(table, row);
  const row_factors factors = factors_of(format, bytes, scales, table->dim);
  EK_EACH_TWO(count, i, n, {
    const two v = load_row(format, bytes, scales, factors, column + i, n, false);
    store_two(out + i, v, EK_F32, false, n, false);
  });
}

static void decode_row(const ek_rows *table, size_t row, size_t column, size_t count, float *out) {
#define EK_ACT(format) decode_row_of(format, table, row, column, count, out)
  EK_OF_FORMAT(table->format, EK_ACT)
#undef EK_ACT
}

#endif
