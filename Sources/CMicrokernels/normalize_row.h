// The sum of a row's parts, and its mean and deviation.
//
// The first pass over a row stores its sum in L1, whence later ones read it.
#ifndef EMBEDKERNEL_NORMALIZE_ROW_H
#define EMBEDKERNEL_NORMALIZE_ROW_H

#include "vectors.h"

/// Where x comes from: three rows of which one at least is there, and once it is summed, `x`.
typedef struct source {
  const float *token, *position, *segment;
  float scale;
  float *x;
} source;

/// How x is read, known when compiling.
typedef enum form {
  TWO_ROWS,  ///< token + position
  ANY_SUM,   ///< with scale and segment, or without position
  STORED,    ///< from `x`
} form;

/// The longest row whose x is stored: two of them are half of a 32 KiB L1.
enum { longest_stored = 2048 };

EK_FUNCTION vec x_at(const source *s, size_t i, form from) {
  if (from == STORED) return load(s->x + i);
  if (from == TWO_ROWS) return load(s->token + i) + load(s->position + i);
  vec x = load(s->token + i);
  if (s->scale != 1) x *= s->scale;
  if (s->position) x += load(s->position + i);
  if (s->segment) x += load(s->segment + i);
  return x;
}

EK_FUNCTION float x_alone(const source *s, size_t i, form from) {
  if (from == STORED) return s->x[i];
  float x = s->token[i];
  if (s->scale != 1) x *= s->scale;
  if (s->position) x += s->position[i];
  if (s->segment) x += s->segment[i];
  return x;
}

typedef struct statistics {
  float mean, reciprocal;  ///< 0 and 1 where the normalisation has none.
} statistics;

EK_FUNCTION void prefetch(const float *row, size_t i, size_t count) {
  for (size_t k = 0; k < count; k += 16) __builtin_prefetch(row + i + k, 0, 2);
}

/// The first pass over a row: adds x, or its square, to `acc`, and stores x with `stores`.
EK_FUNCTION void sum_vector(const source *s, size_t i, vec *acc, form from, bool stores,
                            ek_normalization kind) {
  vec x = x_at(s, i, from);
  if (stores) store(s->x + i, x);
  *acc += kind == EK_RMS_NORM ? x * x : x;
}

/// The same for the row's last elements from `i` on, fewer than a block of lanes.
EK_FUNCTION void sum_tail(const source *s, size_t i, size_t dim, vec acc[parts], form from,
                          bool stores, ek_normalization kind) {
  float tail[lanes];
  if (i == dim) return;
  for (size_t k = i; k < dim; k++) {
    float x = x_alone(s, k, from);
    if (stores) s->x[k] = x;
    tail[k - i] = kind == EK_RMS_NORM ? x * x : x;
  }
  add_tail(acc, tail, dim - i);
}

/// The statistics of a row whose first pass is in `acc`. Prefetches every second line of `soon`,
/// unless that is NULL, where there is a second pass.
EK_FUNCTION statistics measure(const ek_normalize_tile *tile, const source *s, const float *soon,
                               vec acc[parts], form from, ek_normalization kind) {
  const size_t dim = tile->rows.dim, whole = dim & ~(size_t)(lanes - 1);
  statistics result = {0, 1};
  if (kind == EK_NO_NORM) return result;
  float square = sum(acc) / (float)dim;
  if (kind == EK_LAYER_NORM) {
    result.mean = square;
    vec squares[parts] = {{0}};
    for (size_t i = 0; i < whole; i += lanes) {
      if (soon) __builtin_prefetch(soon + i, 0, 2);
      for (size_t k = 0; k < parts; k++) {
        vec x = x_at(s, i + k * width, from) - result.mean;
        squares[k] += x * x;
      }
    }
    if (whole < dim) {
      float tail[lanes];
      if (soon) prefetch(soon, whole, dim - whole);
      for (size_t k = whole; k < dim; k++) {
        float x = x_alone(s, k, from) - result.mean;
        tail[k - whole] = x * x;
      }
      add_tail(squares, tail, dim - whole);
    }
    square = sum(squares) / (float)dim;
  }
  result.reciprocal = 1 / __builtin_elementwise_sqrt(square + tile->epsilon);
  return result;
}

/// (x - mean) * reciprocal
EK_FUNCTION vec normal(vec x, statistics row, ek_normalization kind) {
  if (kind == EK_LAYER_NORM) x -= row.mean;
  return kind == EK_NO_NORM ? x : x * row.reciprocal;
}

#endif
