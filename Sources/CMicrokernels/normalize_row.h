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

/// The longest row whose x is stored: three of them fit in a 32 KiB L1.
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

/// The same for all elements from `i` on, a multiple of the lanes.
EK_FUNCTION void sum_rest(const source *s, size_t i, size_t dim, vec acc[parts], form from,
                          bool stores, ek_normalization kind) {
  float tail[lanes];
  for (; i + lanes <= dim; i += lanes)
    for (size_t k = 0; k < parts; k++)
      sum_vector(s, i + k * width, &acc[k], from, stores, kind);
  if (i == dim) return;
  for (size_t k = i; k < dim; k++) {
    float x = x_alone(s, k, from);
    if (stores) s->x[k] = x;
    tail[k - i] = kind == EK_RMS_NORM ? x * x : x;
  }
  add_tail(acc, tail, dim - i);
}

/// The second pass over a row, where there is one: adds the square of x - mean.
EK_FUNCTION void square_vector(const source *s, size_t i, float mean, vec *acc, form from) {
  vec x = x_at(s, i, from) - mean;
  *acc += x * x;
}

EK_FUNCTION void square_rest(const source *s, size_t i, size_t dim, float mean, vec acc[parts],
                             form from) {
  float tail[lanes];
  for (; i + lanes <= dim; i += lanes)
    for (size_t k = 0; k < parts; k++) square_vector(s, i + k * width, mean, &acc[k], from);
  if (i == dim) return;
  for (size_t k = i; k < dim; k++) {
    float x = x_alone(s, k, from) - mean;
    tail[k - i] = x * x;
  }
  add_tail(acc, tail, dim - i);
}

/// What a row is divided by, from the sum of its squares.
EK_FUNCTION float reciprocal(const ek_normalize_tile *tile, vec acc[parts]) {
  return 1 / __builtin_elementwise_sqrt(sum(acc) / (float)tile->rows.dim + tile->epsilon);
}

/// What the first pass tells of a row.
EK_FUNCTION statistics after_sums(const ek_normalize_tile *tile, vec acc[parts],
                                  ek_normalization kind) {
  statistics row = {0, 1};
  if (kind == EK_LAYER_NORM)
    row.mean = sum(acc) / (float)tile->rows.dim;
  else
    row.reciprocal = reciprocal(tile, acc);
  return row;
}

/// (x - mean) * reciprocal
EK_FUNCTION vec normal(vec x, statistics row, ek_normalization kind) {
  if (kind == EK_LAYER_NORM) x -= row.mean;
  return kind == EK_NO_NORM ? x : x * row.reciprocal;
}

/// A row of a walk.
typedef struct visit {
  source s;
  const float *soon;  ///< The row to prefetch, or NULL.
  float *out;
  size_t n;
  statistics row;
} visit;

/// How many floats a row has before its first aligned vector, if it is streamed: a streaming store
/// takes an aligned vector, so the start goes through the cache. Vectors of a dropped row start
/// where its random words do.
EK_FUNCTION size_t ragged_start(const ek_normalize_tile *tile, const float *out, bool drops,
                                bool *streaming) {
  size_t head = -(uintptr_t)out % sizeof(vec) / sizeof(float);
  *streaming = tile->rows.streaming && head <= tile->rows.dim && !(drops && head);
  return *streaming ? head : 0;
}

#endif
