// The forward of normalised rows: a row is written while the next one makes its second pass and the
// one after that its first, so that memory is busy all the time.
#ifndef EMBEDKERNEL_NORMALIZE_FORWARD_H
#define EMBEDKERNEL_NORMALIZE_FORWARD_H

#include "normalize_row.h"

EK_FUNCTION vec finished(const ek_normalize_tile *tile, vec x, size_t i, statistics row,
                         ek_normalization kind) {
  x = normal(x, row, kind);
  if (kind != EK_NO_NORM) {
    x *= load(tile->gamma + i);
    if (tile->beta) x += load(tile->beta + i);
  }
  return x;
}

/// The element at `i` of a row that is to be written, before dropout.
EK_FUNCTION float finished_alone(const ek_normalize_tile *tile, const visit *row, size_t i,
                                 form from, ek_normalization kind) {
  float y = x_alone(&row->s, i, from);
  if (kind == EK_LAYER_NORM) y -= row->row.mean;
  if (kind != EK_NO_NORM) {
    y = y * row->row.reciprocal * tile->gamma[i];
    if (tile->beta) y += tile->beta[i];
  }
  return y;
}

/// Writes the elements before `head`, and those from `i` on.
EK_FUNCTION void write_ends(const ek_normalize_tile *tile, const visit *row, size_t head, size_t i,
                            form from, ek_normalization kind, bool drops) {
  const size_t dim = tile->rows.dim;
  bits words[group / width];
  const uint32_t *word = (const uint32_t *)words;
  for (size_t k = 0; k < head; k++)
    row->out[k] = finished_alone(tile, row, k, from, kind);
  if (i == dim) return;
  if (drops)
    draw(&tile->dropout, (tile->first + row->n) * ((dim + group - 1) / group) + i / group, words);
  for (size_t k = 0; i + width <= dim; i += width, k++) {
    vec y = finished(tile, x_at(&row->s, i, from), i, row->row, kind);
    store(row->out + i, drops ? keep(&tile->dropout, y, words[k]) : y);
  }
  for (; i < dim; i++) {
    float y = finished_alone(tile, row, i, from, kind);
    if (drops) y = keep_alone(&tile->dropout, y, word[i % group]);
    row->out[i] = y;
  }
}

/// The passes of three successive rows at once: `writes` is written, `squares` makes its second
/// pass, `sums` its first; each may be NULL. So the additions of one row, of which each waits for
/// the one before, pass while the others' loads and stores keep memory busy.
///
/// With `stores`, x is stored in the first pass and read from there in the others.
EK_FUNCTION void forward_passes(const ek_normalize_tile *call, const visit *writes, visit *squares,
                                visit *sums, form from, bool stores, ek_normalization kind,
                                bool drops) {
  // Copies that nothing else can point to, so that their fields stay in registers.
  const ek_normalize_tile tile = *call;
  visit written, squared, summed;
  if (writes) written = *writes;
  if (squares) squared = *squares;
  if (sums) summed = *sums;
  const size_t dim = tile.rows.dim;
  const form later = stores ? STORED : from;
  const float *soon = sums ? summed.soon : NULL;
  const bool first = sums && kind != EK_NO_NORM, second = squares && kind == EK_LAYER_NORM;
  const uint64_t words_at = writes ? (tile.first + written.n) * ((dim + group - 1) / group) : 0;
  bool streaming = false;
  const size_t head = writes ? ragged_start(&tile, written.out, drops, &streaming) : 0;
  vec acc[parts] = {{0}}, squares_acc[parts] = {{0}};
  const float mean = second ? squared.row.mean : 0;
  size_t i = 0;
  for (; head + i + group <= dim; i += group) {
    bits words[group / width];
    if (drops && writes) draw(&call->dropout, words_at + i / group, words);
    if (soon) prefetch(soon, i, group);
    for (size_t k = 0; k < group / width; k++) {
      size_t at = i + k * width;
      // The loads first: one that lies a multiple of 4 KiB from a store before it waits for that.
      if (second) square_vector(&squared.s, at, mean, &squares_acc[k % parts], later);
      if (first) sum_vector(&summed.s, at, &acc[k % parts], from, stores, kind);
      if (writes) {
        vec y = finished(&tile, x_at(&written.s, head + at, later), head + at, written.row, kind);
        if (drops) y = keep(&tile.dropout, y, words[k]);
        if (streaming)
          stream(written.out + head + at, y);
        else
          store(written.out + at, y);
      }
    }
  }
  if (soon) prefetch(soon, i, dim - i);
  if (writes) write_ends(call, &written, head, head + i, later, kind, drops);
  if (second) {
    square_rest(&squared.s, i, dim, mean, squares_acc, later);
    squares->row.reciprocal = reciprocal(&tile, squares_acc);
  }
  if (first) {
    sum_rest(&summed.s, i, dim, acc, from, stores, kind);
    sums->row = after_sums(&tile, acc, kind);
  }
}

/// Fewer than three rows, at the ends of a walk: one function for every form.
EK_TARGET __attribute__((noinline)) static void forward_ends(
    const ek_normalize_tile *tile, const visit *writes, visit *squares, visit *sums, form from,
    bool stores, ek_normalization kind, bool drops) {
  forward_passes(tile, writes, squares, sums, from, stores, kind, drops);
}

#endif
