// The backward of a normalised row: statistics and mask again, then d(x), d(gamma), d(beta) and
// the segment's part in two passes.
#ifndef EMBEDKERNEL_NORMALIZE_BACKWARD_H
#define EMBEDKERNEL_NORMALIZE_BACKWARD_H

#include "normalize_row.h"

/// The statistics of a row, in one or two passes over it; prefetches `soon`, unless that is NULL.
EK_FUNCTION statistics measure(const ek_normalize_tile *tile, const source *s, const float *soon,
                               form from, bool stores, ek_normalization kind) {
  statistics row = {0, 1};
  if (kind == EK_NO_NORM) return row;
  const size_t dim = tile->rows.dim;
  vec acc[parts] = {{0}}, squares[parts] = {{0}};
  size_t i = 0;
  for (; i + lanes <= dim; i += lanes) {
    if (soon) prefetch(soon, i, lanes);
    for (size_t k = 0; k < parts; k++) sum_vector(s, i + k * width, &acc[k], from, stores, kind);
  }
  if (soon) prefetch(soon, i, dim - i);
  sum_rest(s, i, dim, acc, from, stores, kind);
  row = after_sums(tile, acc, kind);
  if (kind == EK_LAYER_NORM) {
    square_rest(s, 0, dim, row.mean, squares, stores ? STORED : from);
    row.reciprocal = reciprocal(tile, squares);
  }
  return row;
}

/// d(x) of a row:
///
///   g = dropout(gradient), xhat = (x - mean) * reciprocal, h = g * gamma
///   d(x) = reciprocal * (h - mean(h) - xhat * mean(h * xhat))
///
/// without mean(h) for the root mean square. `out` may be where x lies.
EK_FUNCTION void backward_row(const ek_normalize_gradient_tile *tile, const source *s,
                              const float *soon, const float *gradient, float *out,
                              float *segment, size_t n, form from, bool stores,
                              ek_normalization kind, bool drops) {
  const form later = stores ? STORED : from;
  const ek_normalize_tile *forward = &tile->forward;
  const ek_dropout *dropout = &forward->dropout;
  const float *gamma = forward->gamma;
  const size_t dim = forward->rows.dim;
  const uint64_t groups = (dim + group - 1) / group, first = (forward->first + n) * groups;
  const statistics row = measure(forward, s, soon, from, stores, kind);
  bits words[group / width];
  const uint32_t *word = (const uint32_t *)words;
  float mean_h = 0, mean_hx = 0;
  if (kind != EK_NO_NORM) {
    vec sum_h[parts] = {{0}}, sum_hx[parts] = {{0}};
    float tail_h[group], tail_hx[group];
    size_t i = 0;
    for (; i + group <= dim; i += group) {
      if (drops) draw(dropout, first + i / group, words);
      for (size_t k = 0; k < group / width; k++) {
        size_t at = i + k * width;
        vec xhat = normal(x_at(s, at, later), row, kind), g = load(gradient + at);
        if (drops) g = keep(dropout, g, words[k]);
        vec h = g * load(gamma + at);
        store(tile->gamma + at, load(tile->gamma + at) + g * xhat);
        if (tile->beta) store(tile->beta + at, load(tile->beta + at) + g);
        if (kind == EK_LAYER_NORM) sum_h[k % parts] += h;
        sum_hx[k % parts] += h * xhat;
      }
    }
    if (i < dim) {
      size_t start = i;
      if (drops) draw(dropout, first + i / group, words);
      for (; i < dim; i++) {
        float xhat = x_alone(s, i, later), g = gradient[i];
        if (kind == EK_LAYER_NORM) xhat -= row.mean;
        xhat *= row.reciprocal;
        if (drops) g = keep_alone(dropout, g, word[i % group]);
        tile->gamma[i] += g * xhat;
        if (tile->beta) tile->beta[i] += g;
        tail_h[i - start] = g * gamma[i];
        tail_hx[i - start] = tail_h[i - start] * xhat;
      }
      for (size_t k = 0; k < dim - start; k += lanes) {
        size_t count = dim - start - k < lanes ? dim - start - k : lanes;
        add_tail(sum_h, tail_h + k, count);
        add_tail(sum_hx, tail_hx + k, count);
      }
    }
    if (kind == EK_LAYER_NORM) mean_h = sum(sum_h) / (float)dim;
    mean_hx = sum(sum_hx) / (float)dim;
  }
  const bool streaming = forward->rows.streaming && (uintptr_t)out % sizeof(vec) == 0;
  size_t i = 0;
  for (; i + group <= dim; i += group) {
    if (drops) draw(dropout, first + i / group, words);
    for (size_t k = 0; k < group / width; k++) {
      size_t at = i + k * width;
      vec d = load(gradient + at);
      if (drops) d = keep(dropout, d, words[k]);
      if (kind != EK_NO_NORM) {
        d *= load(gamma + at);
        if (kind == EK_LAYER_NORM) d -= mean_h;
        d = (d - normal(x_at(s, at, later), row, kind) * mean_hx) * row.reciprocal;
      }
      if (segment) store(segment + at, load(segment + at) + d);
      if (streaming)
        stream(out + at, d);
      else
        store(out + at, d);
    }
  }
  if (i == dim) return;
  if (drops) draw(dropout, first + i / group, words);
  for (; i < dim; i++) {
    float d = gradient[i];
    if (drops) d = keep_alone(dropout, d, word[i % group]);
    if (kind != EK_NO_NORM) {
      float xhat = x_alone(s, i, later);
      if (kind == EK_LAYER_NORM) xhat -= row.mean;
      d *= gamma[i];
      if (kind == EK_LAYER_NORM) d -= mean_h;
      d = (d - xhat * row.reciprocal * mean_hx) * row.reciprocal;
    }
    if (segment) segment[i] += d;
    out[i] = d;
  }
}

#endif
