// The backward of a normalised row: statistics and mask again, then d(x), d(gamma), d(beta) and
// the segment's part in two passes.
#ifndef EMBEDKERNEL_NORMALIZE_BACKWARD_H
#define EMBEDKERNEL_NORMALIZE_BACKWARD_H

#include "normalize_row.h"

#pragma STDC FP_CONTRACT OFF

/// The statistics of a row, in one or two passes over it; prefetches `soon`, unless that is NULL.
EK_INLINE statistics measure_row(const ek_normalize_tile *tile, const source *s, const char *soon,
                                 row_form form) {
  statistics row = {0, 1};
  if (form.kind == EK_NO_NORM) return row;
  const size_t dim = tile->rows.dim;
  vec acc[parts] = {0, 0}, squares[parts] = {0, 0};
  EK_EACH_PART(dim, i, n, part, {
    if (soon) __builtin_prefetch(soon + i * width_of(s->type, form), 0, 2);
    sum_vector(s, i, n, &acc[part], form);
  });
  row = after_sums(tile, acc, form);
  if (form.kind == EK_LAYER_NORM) {
    square_rest(s, 0, dim, row.mean, squares, later(form));
    row.reciprocal = reciprocal(tile, squares);
  }
  return row;
}

/// What the two passes over a row share.
typedef struct slope_row {
  const source *s;
  const float *gradient;
  float *out, *segment;
  statistics row;
  float mean_h, mean_hx;
  bool streaming;
} slope_row;

/// The first pass: adds to d(gamma) and d(beta), and to the sums of h and h * xhat.
EK_INLINE void slope_sums(const ek_normalize_gradient_tile *tile, const slope_row *r, size_t i,
                          size_t n, bits words, vec *sum_h, vec *sum_hx, row_form form) {
  const vec xhat = normal(x_at(r->s, i, n, form), r->row, form);
  vec g = load(r->gradient + i, n, 0);
  if (form.drops) g = drop(&tile->forward.dropout, g, words);
  const vec h = g * load(tile->forward.gamma + i, n, 0);
  store(tile->gamma + i, load(tile->gamma + i, n, 0) + g * xhat, n);
  if (tile->beta) store(tile->beta + i, load(tile->beta + i, n, 0) + g, n);
  if (form.kind == EK_LAYER_NORM) add_lanes(sum_h, h, n);
  add_lanes(sum_hx, h * xhat, n);
}

/// The second pass: writes d(x), and adds it to the segment's.
EK_INLINE void slope_vector(const ek_normalize_gradient_tile *tile, const slope_row *r, size_t i,
                            size_t n, bits words, row_form form) {
  vec d = load(r->gradient + i, n, 0);
  if (form.drops) d = drop(&tile->forward.dropout, d, words);
  if (form.kind != EK_NO_NORM) {
    d *= load(tile->forward.gamma + i, n, 0);
    if (form.kind == EK_LAYER_NORM) d -= r->mean_h;
    d = (d - normal(x_at(r->s, i, n, form), r->row, form) * r->mean_hx) * r->row.reciprocal;
  }
  if (r->segment) store(r->segment + i, load(r->segment + i, n, 0) + d, n);
  put(r->out + i, d, n, r->streaming);
}

/// d(x) of a row:
///
///   g = dropout(gradient), xhat = (x - mean) * reciprocal, h = g * gamma
///   d(x) = reciprocal * (h - mean(h) - xhat * mean(h * xhat))
///
/// without mean(h) for the root mean square. `out` may be where x lies.
EK_INLINE void backward_row(const ek_normalize_gradient_tile *tile, const visit *at,
                            const float *gradient, float *segment, row_form form) {
  const ek_normalize_tile *forward = &tile->forward;
  const size_t dim = forward->rows.dim;
  const row_form after = later(form);
  const bool streaming = forward->rows.streaming && (uintptr_t)at->out % sizeof(vec) == 0;
  slope_row r = {.s = &at->s,
                 .gradient = gradient,
                 .out = (float *)at->out,
                 .segment = segment,
                 .row = measure_row(forward, &at->s, at->soon, form),
                 .streaming = streaming};
  bits words[group / lanes] = {0, 0, 0, 0};
  if (form.kind != EK_NO_NORM) {
    vec sum_h[parts] = {0, 0}, sum_hx[parts] = {0, 0};
    EK_EACH_STEP(group, dim, i, count, {
      if (form.drops) draw(forward, at->n, i, words);
      EK_EACH_PART(
          count, k, n, part,
          slope_sums(tile, &r, i + k, n, words[k / lanes], &sum_h[part], &sum_hx[part], after));
    });
    if (form.kind == EK_LAYER_NORM) r.mean_h = sum_of(sum_h) / (float)dim;
    r.mean_hx = sum_of(sum_hx) / (float)dim;
  }
  EK_EACH_STEP(group, dim, i, count, {
    if (form.drops) draw(forward, at->n, i, words);
    EK_EACH(count, k, n, slope_vector(tile, &r, i + k, n, words[k / lanes], after));
  });
}

#endif
