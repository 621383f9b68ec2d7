// A tile's rows summed, normalised and dropped from in one visit, and the backward of it.
// Statistics are computed from the row again in the backward, as is the mask: nothing is kept.
//
// The row is read from L1 in each pass over it: its sum is cheaper computed thrice than stored.
#include "vectors.h"

/// Where x comes from: three rows of which one at least is there, or x itself.
typedef struct source {
  const float *token, *position, *segment;
  float scale;
} source;

/// `plain`: token + position and nothing else, known when compiling.
EK_FUNCTION vec x_at(const source *s, size_t i, bool plain) {
  if (plain) return load(s->token + i) + load(s->position + i);
  vec x = load(s->token + i);
  if (s->scale != 1) x *= s->scale;
  if (s->position) x += load(s->position + i);
  if (s->segment) x += load(s->segment + i);
  return x;
}

EK_FUNCTION float x_alone(const source *s, size_t i) {
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

/// Adds to `acc` what the first pass over a row sums, for a block of lanes: x, or its square.
EK_FUNCTION void sum_block(const source *s, size_t i, vec acc[parts], bool plain,
                           ek_normalization kind) {
  for (size_t k = 0; k < parts; k++) {
    vec x = x_at(s, i + k * width, plain);
    acc[k] += kind == EK_RMS_NORM ? x * x : x;
  }
}

/// The same for the row's last elements from `i` on, fewer than a block.
EK_FUNCTION void sum_tail(const source *s, size_t i, size_t dim, vec acc[parts],
                          ek_normalization kind) {
  float tail[lanes];
  for (size_t k = i; k < dim; k++) {
    float x = x_alone(s, k);
    tail[k - i] = kind == EK_RMS_NORM ? x * x : x;
  }
  if (i < dim) add_tail(acc, tail, dim - i);
}

/// The statistics of a row whose first pass is in `acc`. Prefetches every second line of `soon`,
/// unless that is NULL, where there is a second pass.
EK_FUNCTION statistics measure(const ek_normalize_tile *tile, const source *s, const float *soon,
                               vec acc[parts], bool plain, ek_normalization kind) {
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
        vec x = x_at(s, i + k * width, plain) - result.mean;
        squares[k] += x * x;
      }
    }
    if (whole < dim) {
      float tail[lanes];
      if (soon) prefetch(soon, whole, dim - whole);
      for (size_t k = whole; k < dim; k++) {
        float x = x_alone(s, k) - result.mean;
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
                            ek_normalization kind, bool plain, bool drops) {
  const size_t dim = tile->rows.dim;
  bits words[group / width];
  const uint32_t *word = (const uint32_t *)words;
  if (drops)
    draw(&tile->dropout, (tile->first + done->n) * ((dim + group - 1) / group) + i / group, words);
  for (size_t k = 0; i + width <= dim; i += width, k++) {
    vec y = finished(tile, x_at(&done->s, i, plain), i, done->row, kind);
    store(done->out + i, drops ? keep(&tile->dropout, y, words[k]) : y);
  }
  for (; i < dim; i++) {
    float y = x_alone(&done->s, i);
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
/// between its stores, so that memory is busy in both; either may be NULL.
EK_FUNCTION void write_and_sum(const ek_normalize_tile *tile, const visit *done, const visit *next,
                               vec acc[parts], bool plain, ek_normalization kind, bool drops) {
  const size_t dim = tile->rows.dim;
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
        vec y = finished(tile, x_at(&done->s, at, plain), at, done->row, kind);
        if (drops) y = keep(&tile->dropout, y, words[k]);
        if (streaming)
          stream(done->out + at, y);
        else
          store(done->out + at, y);
      }
      if (sums) {
        vec x = x_at(&next->s, at, plain);
        acc[k % parts] += kind == EK_RMS_NORM ? x * x : x;
      }
    }
  }
  if (i == dim) return;
  if (done) write_tail(tile, done, i, kind, plain, drops);
  if (!next) return;
  if (soon && kind != EK_LAYER_NORM) prefetch(soon, i, dim - i);
  if (!sums) return;
  for (; i + lanes <= dim; i += lanes) sum_block(&next->s, i, acc, plain, kind);
  sum_tail(&next->s, i, dim, acc, kind);
}

/// Takes the row `next`: writes the row before it, if there is one, and measures this one.
EK_FUNCTION void forward_row(const ek_normalize_tile *tile, const visit *done, visit *next,
                             bool plain, ek_normalization kind, bool drops) {
  vec acc[parts] = {{0}};
  if (done->out)
    write_and_sum(tile, done, next, acc, plain, kind, drops);
  else
    write_and_sum(tile, NULL, next, acc, plain, kind, drops);
  next->row = measure(tile, &next->s, next->soon, acc, plain, kind);
}

/// d(x) of a row:
///
///   g = dropout(gradient), xhat = (x - mean) * reciprocal, h = g * gamma
///   d(x) = reciprocal * (h - mean(h) - xhat * mean(h * xhat))
///
/// without mean(h) for the root mean square. `out` may be where x lies.
EK_FUNCTION void backward_row(const ek_normalize_gradient_tile *tile, const source *s,
                              const float *soon, const float *gradient, float *out,
                              float *segment, size_t n, bool plain, ek_normalization kind,
                              bool drops) {
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
      sum_block(s, i, acc, plain, kind);
    }
    sum_tail(s, i, dim, acc, kind);
  }
  statistics row = measure(forward, s, soon, acc, plain, kind);
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
        vec xhat = normal(x_at(s, at, plain), row, kind), g = load(gradient + at);
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
        float xhat = x_alone(s, i), g = gradient[i];
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
        d = (d - normal(x_at(s, at, plain), row, kind) * mean_hx) * row.reciprocal;
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
      float xhat = x_alone(s, i);
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
                      bool plain, ek_normalization kind, bool drops) {
  const ek_embed_tile *nest = &tile->rows;
  const size_t dim = nest->dim;
  const bool ahead_of = nest->prefetch_rows != 0;
  ek_cursor ahead = {0, 0, 0};
  visit done = {.out = NULL};
  for (size_t i = 0; i < nest->prefetch_rows; i++) ahead = ek_next(nest, ahead);
  for (size_t o = 0; o < nest->outer.count; o++) {
    size_t n = o * nest->outer.tokens, place = o * nest->outer.positions;
    for (size_t i = 0; i < nest->inner.count; i++) {
      source s = {nest->ids ? ek_token_row(nest, n) : nest->tokens + n * dim,
                  plain || nest->positions ? ek_position_row(nest, place) : NULL, NULL,
                  nest->scale};
      size_t segment = 0;
      if (!plain && (tile->segments || (backward && backward->segments)))
        segment = segment_of(tile, n);
      if (!plain && tile->segments) s.segment = tile->segments + segment * dim;
      const float *soon = NULL;
      if (ahead_of && ahead.outer < nest->outer.count) {
        soon = nest->ids ? ek_token_row(nest, ahead.token) : nest->tokens + ahead.token * dim;
        if (backward) prefetch(backward->gradient + ahead.token * dim, 0, dim);
        ahead = ek_next(nest, ahead);
      }
      if (!backward) {
        visit next = {s, soon, nest->output + n * dim, n, {0, 1}};
        forward_row(tile, &done, &next, plain, kind, drops);
        done = next;
      } else {
        backward_row(backward, &s, soon, backward->gradient + n * dim, nest->output + n * dim,
                     backward->segments ? backward->segments + segment * dim : NULL, n, plain,
                     kind, drops);
      }
      n += nest->inner.tokens;
      place += nest->inner.positions;
    }
  }
  if (done.out) write_and_sum(tile, &done, NULL, NULL, plain, kind, drops);
#if defined(__x86_64__)
  if (nest->streaming) __builtin_ia32_sfence();
#endif
}

EK_FUNCTION void walk_of_kind(const ek_normalize_tile *tile,
                              const ek_normalize_gradient_tile *backward, bool plain, bool drops) {
  switch (tile->kind) {
    case EK_LAYER_NORM: walk(tile, backward, plain, EK_LAYER_NORM, drops); break;
    case EK_RMS_NORM: walk(tile, backward, plain, EK_RMS_NORM, drops); break;
    default: walk(tile, backward, plain, EK_NO_NORM, drops); break;
  }
}

EK_FUNCTION void walk_any(const ek_normalize_tile *tile,
                          const ek_normalize_gradient_tile *backward) {
  const bool plain = tile->rows.positions && !tile->segments && tile->rows.scale == 1;
  const bool drops = tile->dropout.threshold != 0;
  if (plain && !drops)
    walk_of_kind(tile, backward, true, false);
  else if (!drops)
    walk_of_kind(tile, backward, false, false);
  else
    walk_of_kind(tile, backward, false, true);
}

EK_FUNCTION void normalize(const ek_normalize_tile *tile) {
  const ek_normalize_tile copy = *tile;
  walk_any(&copy, NULL);
}

EK_FUNCTION void normalize_gradient(const ek_normalize_gradient_tile *tile) {
  const ek_normalize_gradient_tile copy = *tile;
  walk_any(&copy.forward, &copy);
}
