// The forward of normalised rows: a row is written while the next one makes its second pass and the
// one after that its first, so that memory is busy all the time.
#ifndef EMBEDKERNEL_NORMALIZE_FORWARD_H
#define EMBEDKERNEL_NORMALIZE_FORWARD_H

#include "normalize_row.h"

#pragma STDC FP_CONTRACT OFF

/// `n` elements from `i` on of a row that is to be written, before dropout.
EK_INLINE vec finished(const ek_normalize_tile *tile, const visit *row, size_t i, size_t n,
                       row_form form) {
  vec y = normal(x_at(&row->s, i, n, form), row->row, form);
  if (form.kind != EK_NO_NORM) {
    y *= load(tile->gamma + i, n, 0);
    if (tile->beta) y += load(tile->beta + i, n, 0);
  }
  return y;
}

/// Writes `n` elements from `i` on of a row.
EK_INLINE void write_at(const ek_normalize_tile *tile, char *out, size_t i, vec y, size_t n,
                        bool streaming, row_form form) {
  if (!form.typed) return put((float *)out + i, y, n, streaming);
  store_one(out + i * bytes_of(tile->output), y, tile->output, n, streaming);
}

/// Writes the elements before `head`, and those from `i` on.
EK_INLINE void write_ends(const ek_normalize_tile *tile, const visit *row, size_t head, size_t i,
                          row_form form) {
  if (head) write_at(tile, row->out, 0, finished(tile, row, 0, head, form), head, false, form);
  const size_t dim = tile->rows.dim;
  if (i == dim) return;
  bits words[group / lanes];
  if (form.drops) draw(tile, row->n, i, words);
  EK_EACH(dim - i, k, n, {
    vec y = finished(tile, row, i + k, n, form);
    if (form.drops) y = drop(&tile->dropout, y, words[k / lanes]);
    write_at(tile, row->out, i + k, y, n, false, form);
  });
}

/// How many elements a row has before its first aligned vector, if it is streamed: a streaming
/// store takes an aligned vector, so the start goes through the cache. Vectors of a dropped row
/// start where its random words do.
EK_INLINE size_t ragged_start(const ek_normalize_tile *tile, const char *out, row_form form,
                              bool *streaming) {
  const size_t bytes = width_of(tile->output, form);
  const size_t head = -(uintptr_t)out % (lanes * bytes) / bytes;
  *streaming = tile->rows.streaming && head <= tile->rows.dim && !(form.drops && head);
  return *streaming ? head : 0;
}

/// The passes of three successive rows at once: `writes` is written, `squares` makes its second
/// pass, `sums` its first; each may be NULL. So the additions of one row, of which each waits for
/// the one before, pass while the others' loads and stores keep memory busy.
EK_INLINE void forward_passes(const ek_normalize_tile *call, const visit *writes, visit *squares,
                              visit *sums, row_form form) {
  // Copies that nothing else can point to, so that their fields stay in registers.
  const ek_normalize_tile tile = *call;
  visit written, squared, summed;
  if (writes) written = *writes;
  if (squares) squared = *squares;
  if (sums) summed = *sums;
  const size_t dim = tile.rows.dim;
  const row_form after = later(form);
  const char *soon = sums ? summed.soon : NULL;
  const size_t wide = width_of(tile.input, form);
  const bool first = sums && form.kind != EK_NO_NORM;
  const bool second = squares && form.kind == EK_LAYER_NORM;
  bool streaming = false;
  const size_t head = writes ? ragged_start(&tile, written.out, form, &streaming) : 0;
  vec acc[parts] = {0, 0}, squares_acc[parts] = {0, 0};
  const float mean = second ? squared.row.mean : 0;
  size_t i = 0;
  for (; head + i + group <= dim; i += group) {
    bits words[group / lanes];
    if (form.drops && writes) draw(call, written.n, i, words);
    if (soon) prefetch(soon + i * wide, group * wide);
    for (size_t k = 0; k < group / lanes; k++) {
      const size_t at = i + k * lanes;
      // The loads first: one that lies a multiple of 4 KiB from a store before it waits for that.
      if (second) square_vector(&squared.s, at, lanes, mean, &squares_acc[k % parts], after);
      if (first) sum_vector(&summed.s, at, lanes, &acc[k % parts], form);
      if (writes) {
        vec y = finished(&tile, &written, head + at, lanes, after);
        if (form.drops) y = drop(&tile.dropout, y, words[k]);
        write_at(&tile, written.out, head + at, y, lanes, streaming, form);
      }
    }
  }
  if (soon) prefetch(soon + i * wide, (dim - i) * wide);
  if (writes) write_ends(call, &written, head, head + i, after);
  if (second) {
    square_rest(&squared.s, i, dim, mean, squares_acc, after);
    squares->row.reciprocal = reciprocal(&tile, squares_acc);
  }
  if (first) {
    sum_rest(&summed.s, i, dim, acc, form);
    sums->row = after_sums(&tile, acc, form);
  }
}

/// Fewer than three rows, at the ends of a walk: one function for every form.
__attribute__((noinline)) static void forward_ends(const ek_normalize_tile *tile,
                                                   const visit *writes, visit *squares, visit *sums,
                                                   row_form form) {
  forward_passes(tile, writes, squares, sums, form);
}

#endif
