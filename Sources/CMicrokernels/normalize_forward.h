// The forward of normalised rows: a row is written while the next one is summed, so that memory is
// busy in both.
#ifndef EMBEDKERNEL_NORMALIZE_FORWARD_H
#define EMBEDKERNEL_NORMALIZE_FORWARD_H

#include "normalize_row.h"

/// A row of a walk.
typedef struct visit {
  source s;
  const float *soon;  ///< The row to prefetch, or NULL.
  float *out;
  size_t n;
  statistics row;
} visit;

EK_FUNCTION vec finished(const ek_normalize_tile *tile, vec x, size_t i, statistics row,
                         ek_normalization kind) {
  x = normal(x, row, kind);
  if (kind != EK_NO_NORM) {
    x *= load(tile->gamma + i);
    if (tile->beta) x += load(tile->beta + i);
  }
  return x;
}

EK_FUNCTION void write_tail(const ek_normalize_tile *tile, const visit *done, size_t i,
                            ek_normalization kind, form from, bool drops) {
  const size_t dim = tile->rows.dim;
  bits words[group / width];
  const uint32_t *word = (const uint32_t *)words;
  if (drops)
    draw(&tile->dropout, (tile->first + done->n) * ((dim + group - 1) / group) + i / group, words);
  for (size_t k = 0; i + width <= dim; i += width, k++) {
    vec y = finished(tile, x_at(&done->s, i, from), i, done->row, kind);
    store(done->out + i, drops ? keep(&tile->dropout, y, words[k]) : y);
  }
  for (; i < dim; i++) {
    float y = x_alone(&done->s, i, from);
    if (kind == EK_LAYER_NORM) y -= done->row.mean;
    if (kind != EK_NO_NORM) {
      y = y * done->row.reciprocal * tile->gamma[i];
      if (tile->beta) y += tile->beta[i];
    }
    if (drops) y = word[i % group] >= tile->dropout.threshold ? y * tile->dropout.scale : 0;
    done->out[i] = y;
  }
}

/// Writes the row `done`, whose statistics are known, and makes the first pass over the row `next`
/// between its stores; either may be NULL. With `stores`, x is stored in the first pass and read
/// from there in later ones; `next` may store where `done` lies, as each element is read before it
/// is overwritten.
EK_FUNCTION void write_and_sum(const ek_normalize_tile *tile, const visit *done, const visit *next,
                               vec acc[parts], form from, bool stores, ek_normalization kind,
                               bool drops) {
  const size_t dim = tile->rows.dim;
  const form later = stores ? STORED : from;
  const float *soon = next ? next->soon : NULL;
  const bool sums = next && kind != EK_NO_NORM;
  bool streaming = false;
  uint64_t first = 0;
  if (done) {
    // A streaming store takes aligned vectors; rows that lie otherwise go through the cache.
    streaming = tile->rows.streaming && (uintptr_t)done->out % sizeof(vec) == 0;
    first = (tile->first + done->n) * ((dim + group - 1) / group);
  }
  size_t i = 0;
  for (; i + group <= dim; i += group) {
    bits words[group / width];
    if (drops && done) draw(&tile->dropout, first + i / group, words);
    if (soon && kind == EK_LAYER_NORM) {
      __builtin_prefetch(soon + i + 16, 0, 2);
      __builtin_prefetch(soon + i + 48, 0, 2);
    } else if (soon) {
      prefetch(soon, i, group);
    }
    for (size_t k = 0; k < group / width; k++) {
      size_t at = i + k * width;
      if (done) {
        vec y = finished(tile, x_at(&done->s, at, later), at, done->row, kind);
        if (drops) y = keep(&tile->dropout, y, words[k]);
        if (streaming)
          stream(done->out + at, y);
        else
          store(done->out + at, y);
      }
      if (sums) sum_vector(&next->s, at, &acc[k % parts], from, stores, kind);
    }
  }
  if (i == dim) return;
  if (done) write_tail(tile, done, i, kind, later, drops);
  if (soon && kind != EK_LAYER_NORM) prefetch(soon, i, dim - i);
  if (!sums) return;
  for (; i + lanes <= dim; i += lanes)
    for (size_t k = 0; k < parts; k++)
      sum_vector(&next->s, i + k * width, &acc[k], from, stores, kind);
  sum_tail(&next->s, i, dim, acc, from, stores, kind);
}

/// Takes the row `next`: writes the row `done` before it, if there is one, and measures this one.
EK_FUNCTION void forward_row(const ek_normalize_tile *tile, const visit *done, visit *next,
                             form from, bool stores, ek_normalization kind, bool drops) {
  vec acc[parts] = {{0}};
  if (done->out)
    write_and_sum(tile, done, next, acc, from, stores, kind, drops);
  else
    write_and_sum(tile, NULL, next, acc, from, stores, kind, drops);
  next->row = measure(tile, &next->s, next->soon, acc, stores ? STORED : from, kind);
}

#endif
