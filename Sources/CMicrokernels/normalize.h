// A tile's rows summed, normalised and dropped from in one visit, and the backward of it.
// Statistics are computed from the row again in the backward, as is the mask: nothing is kept.
//
// The first pass over a row stores its sum in L1, whence later ones read it: loads are what a
// normalisation costs, two a cycle at most.
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

EK_FUNCTION vec finished(const ek_normalize_tile *tile, vec x, size_t i, statistics row,
                         ek_normalization kind) {
  x = normal(x, row, kind);
  if (kind != EK_NO_NORM) {
    x *= load(tile->gamma + i);
    if (tile->beta) x += load(tile->beta + i);
  }
  return x;
}

/// A row of a walk.
typedef struct visit {
  source s;
  const float *soon;  ///< The row to prefetch, or NULL.
  float *out;
  size_t n;
  statistics row;
} visit;

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
/// between its stores, so that memory is busy in both; either may be NULL. With `stores`, x is
/// stored in the first pass and read from there in later ones.
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
  if (!next) return;
  if (soon && kind != EK_LAYER_NORM) prefetch(soon, i, dim - i);
  if (!sums) return;
  for (; i + lanes <= dim; i += lanes)
    for (size_t k = 0; k < parts; k++)
      sum_vector(&next->s, i + k * width, &acc[k], from, stores, kind);
  sum_tail(&next->s, i, dim, acc, from, stores, kind);
}

/// Takes the row `next`: writes the row before it, if there is one, and measures this one.
EK_FUNCTION void forward_row(const ek_normalize_tile *tile, const visit *done, visit *next,
                             form from, bool stores, ek_normalization kind, bool drops) {
  vec acc[parts] = {{0}};
  if (done->out)
    write_and_sum(tile, done, next, acc, from, stores, kind, drops);
  else
    write_and_sum(tile, NULL, next, acc, from, stores, kind, drops);
  next->row = measure(tile, &next->s, next->soon, acc, stores ? STORED : from, kind);
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
  vec acc[parts] = {{0}};
  if (kind != EK_NO_NORM) {
    size_t i = 0;
    for (; i + lanes <= dim; i += lanes) {
      if (soon) __builtin_prefetch(soon + i + 16, 0, 2);
      if (soon && kind == EK_RMS_NORM) __builtin_prefetch(soon + i, 0, 2);
      for (size_t k = 0; k < parts; k++)
        sum_vector(s, i + k * width, &acc[k], from, stores, kind);
    }
    sum_tail(s, i, dim, acc, from, stores, kind);
  }
  statistics row = measure(forward, s, soon, acc, later, kind);
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
        if (drops) g = word[i % group] >= dropout->threshold ? g * dropout->scale : 0;
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
    if (drops) d = word[i % group] >= dropout->threshold ? d * dropout->scale : 0;
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

EK_FUNCTION size_t segment_of(const ek_normalize_tile *tile, size_t token) {
  if (!tile->segment_ids) return 0;
  return tile->rows.id_bytes == 4 ? (size_t)((const uint32_t *)tile->segment_ids)[token]
                                  : (size_t)((const uint64_t *)tile->segment_ids)[token];
}

/// Visits a nest's rows; `backward` is NULL for the forward.
EK_FUNCTION void walk(const ek_normalize_tile *tile, const ek_normalize_gradient_tile *backward,
                      form from, bool stores, ek_normalization kind, bool drops) {
  const ek_embed_tile *nest = &tile->rows;
  const size_t dim = nest->dim;
  const bool ahead_of = nest->prefetch_rows != 0;
  ek_cursor ahead = {0, 0, 0};
  visit done = {.out = NULL};
  // The row at hand and the one before it.
  float stored[2][longest_stored] __attribute__((aligned(64)));
  size_t rows = 0;
  for (size_t i = 0; i < nest->prefetch_rows; i++) ahead = ek_next(nest, ahead);
  for (size_t o = 0; o < nest->outer.count; o++) {
    size_t n = o * nest->outer.tokens, place = o * nest->outer.positions;
    for (size_t i = 0; i < nest->inner.count; i++) {
      source s = {nest->ids ? ek_token_row(nest, n) : nest->tokens + n * dim,
                  from == TWO_ROWS || nest->positions ? ek_position_row(nest, place) : NULL, NULL,
                  nest->scale, stored[rows++ % 2]};
      size_t segment = 0;
      if (from == ANY_SUM && (tile->segments || (backward && backward->segments)))
        segment = segment_of(tile, n);
      if (from == ANY_SUM && tile->segments) s.segment = tile->segments + segment * dim;
      const float *soon = NULL;
      if (ahead_of && ahead.outer < nest->outer.count) {
        soon = nest->ids ? ek_token_row(nest, ahead.token) : nest->tokens + ahead.token * dim;
        if (backward) prefetch(backward->gradient + ahead.token * dim, 0, dim);
        ahead = ek_next(nest, ahead);
      }
      if (!backward) {
        visit next = {s, soon, nest->output + n * dim, n, {0, 1}};
        forward_row(tile, &done, &next, from, stores, kind, drops);
        done = next;
      } else {
        backward_row(backward, &s, soon, backward->gradient + n * dim, nest->output + n * dim,
                     backward->segments ? backward->segments + segment * dim : NULL, n, from,
                     stores, kind, drops);
      }
      n += nest->inner.tokens;
      place += nest->inner.positions;
    }
  }
  if (done.out) write_and_sum(tile, &done, NULL, NULL, from, stores, kind, drops);
#if defined(__x86_64__)
  if (nest->streaming) __builtin_ia32_sfence();
#endif
}

EK_FUNCTION void walk_of_form(const ek_normalize_tile *tile,
                              const ek_normalize_gradient_tile *backward, form from, bool stores,
                              bool drops) {
  switch (tile->kind) {
    case EK_LAYER_NORM: walk(tile, backward, from, stores, EK_LAYER_NORM, drops); break;
    case EK_RMS_NORM: walk(tile, backward, from, stores, EK_RMS_NORM, drops); break;
    default: walk(tile, backward, from, false, EK_NO_NORM, drops); break;
  }
}

/// Forms that are common get loops of their own; the others share one each.
EK_FUNCTION void walk_any(const ek_normalize_tile *tile,
                          const ek_normalize_gradient_tile *backward) {
  const bool two_rows = tile->rows.positions && !tile->segments && tile->rows.scale == 1;
  const bool drops = tile->dropout.threshold != 0, stores = tile->rows.dim <= longest_stored;
  if (stores && two_rows && !drops)
    walk_of_form(tile, backward, TWO_ROWS, true, false);
  else if (stores && !drops)
    walk_of_form(tile, backward, ANY_SUM, true, false);
  else if (stores)
    walk_of_form(tile, backward, ANY_SUM, true, true);
  else if (!drops)
    walk_of_form(tile, backward, ANY_SUM, false, false);
  else
    walk_of_form(tile, backward, ANY_SUM, false, true);
}

EK_FUNCTION void normalize(const ek_normalize_tile *tile) {
  const ek_normalize_tile copy = *tile;
  walk_any(&copy, NULL);
}

EK_FUNCTION void normalize_gradient(const ek_normalize_gradient_tile *tile) {
  const ek_normalize_gradient_tile copy = *tile;
  walk_any(&copy.forward, &copy);
}
