// The sum of a row's parts, its mean and deviation, and its dropout.
//
// The first pass over a row stores its sum in L1, whence later ones read it.
#ifndef EMBEDKERNEL_NORMALIZE_ROW_H
#define EMBEDKERNEL_NORMALIZE_ROW_H

#include "element.h"
#include "philox.h"
#include "walk.h"

#pragma STDC FP_CONTRACT OFF

enum {
  parts = 2,              ///< Vectors that hold the 32 lanes of a sum.
  group = 64,             ///< Elements that share 16 Philox blocks.
  longest_stored = 2048,  ///< The longest row whose x is stored: three of them fit in a 32 KiB L1.
};

/// Where x comes from: three rows of which one at least is there, and once it is summed, `x`, which
/// has room for whole vectors.
typedef struct source {
  const char *token, *position, *segment;
  ek_element type;
  float scale;
  float *x;
} source;

/// What is known of rows when compiling.
typedef struct row_form {
  enum {
    TWO_ROWS,  ///< token + position
    ANY_SUM,   ///< with scale and segment, or without position
    STORED,    ///< from `x`
  } from;
  bool stores;  ///< Whether the first pass stores x, and the others find it there.
  bool drops;
  ek_normalization kind;
  bool typed;  ///< Whether loads and stores look at the tile's types, or all are floats.
} row_form;

/// What an element of `type` takes.
EK_INLINE size_t width_of(ek_element type, row_form form) {
  return form.typed ? bytes_of(type) : sizeof(float);
}

/// `n` elements from `i` on of a table's row.
EK_INLINE vec table_at(const char *row, size_t i, size_t n, ek_element type, row_form form) {
  if (!form.typed) return load((const float *)row + i, n, 0);
  return load_one(row + i * bytes_of(type), type, n);
}

/// The form of a row after its first pass.
EK_INLINE row_form later(row_form form) {
  if (form.stores) form.from = STORED;
  return form;
}

/// A row's x, `n` elements from `i` on.
EK_INLINE vec x_at(const source *s, size_t i, size_t n, row_form form) {
  if (form.from == STORED) return load(s->x + i, lanes, 0);
  vec x = table_at(s->token, i, n, s->type, form);
  if (form.from == TWO_ROWS) return x + table_at(s->position, i, n, s->type, form);
  if (s->scale != 1) x *= s->scale;
  if (s->position) x += table_at(s->position, i, n, s->type, form);
  if (s->segment) x += table_at(s->segment, i, n, s->type, form);
  return x;
}

typedef struct statistics {
  float mean, reciprocal;  ///< 0 and 1 where the normalisation has none.
} statistics;

/// Adds the first `n` lanes.
EK_INLINE void add_lanes(vec *acc, vec value, size_t n) {
  const vec sum = *acc + value;
  *acc = n == lanes ? sum : first_lanes(n) ? sum : *acc;
}

/// Runs a step for each vector of a row, as `EK_EACH`, and for the part of a sum that it is added
/// to: a constant in each copy of the step, so that sums stay in registers.
#define EK_EACH_PART(size, at, count, part, ...)                        \
  EK_EACH_STEP(parts *lanes, size, both_, count_, {                     \
    {                                                                   \
      enum { part = 0 };                                                \
      const size_t at = both_, count = count_ < lanes ? count_ : lanes; \
      __VA_ARGS__;                                                      \
    }                                                                   \
    if (count_ > lanes) {                                               \
      enum { part = 1 };                                                \
      const size_t at = both_ + lanes, count = count_ - lanes;          \
      __VA_ARGS__;                                                      \
    }                                                                   \
  })

EK_INLINE float sum_of(const vec acc[parts]) {
  const vec all = acc[0] + acc[1];
  return EK_FOLD(all, EK_ADD);
}

/// The first pass over a row: adds x, or its square, to `acc`.
EK_INLINE void sum_vector(const source *s, size_t i, size_t n, vec *acc, row_form form) {
  const vec x = x_at(s, i, n, form);
  if (form.stores) store(s->x + i, x, lanes);
  add_lanes(acc, form.kind == EK_RMS_NORM ? x * x : x, n);
}

/// The second pass over a row, where there is one: adds the square of x - mean.
EK_INLINE void square_vector(const source *s, size_t i, size_t n, float mean, vec *acc,
                             row_form form) {
  const vec x = x_at(s, i, n, form) - mean;
  add_lanes(acc, x * x, n);
}

/// The same for all elements from `i` on, a multiple of the group.
EK_INLINE void sum_rest(const source *s, size_t i, size_t dim, vec acc[parts], row_form form) {
  EK_EACH_PART(dim - i, k, n, part, sum_vector(s, i + k, n, &acc[part], form));
}

EK_INLINE void square_rest(const source *s, size_t i, size_t dim, float mean, vec acc[parts],
                           row_form form) {
  EK_EACH_PART(dim - i, k, n, part, square_vector(s, i + k, n, mean, &acc[part], form));
}

/// What a row is divided by, from the sum of its squares.
EK_INLINE float reciprocal(const ek_normalize_tile *tile, const vec acc[parts]) {
  return 1 / __builtin_elementwise_sqrt(sum_of(acc) / (float)tile->rows.dim + tile->epsilon);
}

/// What the first pass tells of a row.
EK_INLINE statistics after_sums(const ek_normalize_tile *tile, const vec acc[parts],
                                row_form form) {
  statistics row = {0, 1};
  if (form.kind == EK_LAYER_NORM)
    row.mean = sum_of(acc) / (float)tile->rows.dim;
  else
    row.reciprocal = reciprocal(tile, acc);
  return row;
}

/// (x - mean) * reciprocal
EK_INLINE vec normal(vec x, statistics row, row_form form) {
  if (form.kind == EK_LAYER_NORM) x -= row.mean;
  return form.kind == EK_NO_NORM ? x : x * row.reciprocal;
}

/// The words of the 64 elements from `i` on of the tile's token `n`.
EK_INLINE void draw(const ek_normalize_tile *tile, size_t n, size_t i, bits words[group / lanes]) {
  const uint64_t groups = (tile->rows.dim + group - 1) / group;
  const uint64_t index = (tile->first + n) * groups + i / group;
  philox(index * 16, tile->dropout.stream, tile->dropout.key, words);
}

/// `value` scaled where its word is at least the threshold, else 0.
EK_INLINE vec drop(const ek_dropout *dropout, vec value, bits words) {
  const ints kept = words >= dropout->threshold;
  return (vec)((bits)(value * dropout->scale) & (bits)kept);
}

/// A row of a walk.
typedef struct visit {
  source s;
  const char *soon;  ///< The row to prefetch, or NULL.
  char *out;
  size_t n;
  statistics row;
} visit;

#endif
