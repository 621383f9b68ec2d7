// Attention's softmax over tiles of logits: no row of probabilities is ever whole. Of each query
// two numbers are kept, the largest logit and the sum of powers below it, from which the backward
// makes the probabilities of a tile anew.
//
// Bytes a logit, forward: 8 read and 4 written, in cache; backward: 8 read and 8 written.
#ifndef EMBEDKERNEL_ATTENTION_H
#define EMBEDKERNEL_ATTENTION_H

#include "CKernels.h"
#include "softmax.h"

#pragma STDC FP_CONTRACT ON

/// The columns that row `row` of a tile sees.
EK_INLINE size_t seen_by(const ek_attention_tile *tile, size_t row) {
  const ptrdiff_t columns = (ptrdiff_t)tile->columns;
  if (tile->visible >= columns) return tile->columns;
  const ptrdiff_t seen = tile->visible + (ptrdiff_t)row;
  return seen < 0 ? 0 : seen < columns ? (size_t)seen : tile->columns;
}

/// e^x of one number.
EK_INLINE float power_of(float x) { return exponential((vec)x).x; }

static void attention_powers(const ek_attention_tile *tile) {
  const ek_attention_tile t = *tile;
  for (size_t r = 0; r < t.rows; r++) {
    float *row = t.logits + r * t.stride;
    const size_t visible = seen_by(&t, r), end = round_up(row, visible, t.columns, -INFINITY);
    const float before = t.is_first ? -INFINITY : t.most[r];
    float most = largest_of(row, end);
    most = EK_LARGER(before, most);
    // Where all logits so far are minus infinity, so are their differences from 0.
    const float base = most == -INFINITY ? 0 : most;
    const float powers = put_powers(row, end, base);
    hide(row, end, t.columns);
    t.most[r] = most;
    if (t.is_first) {
      t.sums[r] = powers;
    } else {
      const float shrink = power_of(before - base);
      t.sums[r] = t.sums[r] * shrink + powers;
      if (shrink != 1) scale(t.output + r * t.output_stride, t.dim, shrink);
    }
  }
}

static void attention_finish(const ek_attention_tile *tile) {
  const ek_attention_tile t = *tile;
  for (size_t r = 0; r < t.rows; r++) {
    t.sums[r] = 1 / t.sums[r];
    scale(t.output + r * t.output_stride, t.dim, t.sums[r]);
  }
}

static void attention_gradient(const ek_attention_tile *tile) {
  const ek_attention_tile t = *tile;
  for (size_t r = 0; r < t.rows; r++) {
    float *p = t.logits + r * t.stride, *g = t.gradient + r * t.stride;
    const size_t visible = seen_by(&t, r);
    const float most = t.most[r], part = t.sums[r], mean = t.means[r];
    EK_EACH(visible, i, n, {
      const vec power = exponential(load(p + i, n, -INFINITY) - most) * part;
      const vec slope = power * (load(g + i, n, 0) - mean);
      store(p + i, power, n);
      // A query that sees one key alone has no slope, and what rounding makes of one would add up.
      store(g + i, power == 1 ? (vec)(0.0f) : slope, n);
    });
    hide(p, visible, t.columns);
    hide(g, visible, t.columns);
  }
}

static void dot_rows(const float *x, size_t x_stride, const float *y, size_t y_stride, float *out,
                     size_t rows, size_t dim) {
  for (size_t r = 0; r < rows; r++, x += x_stride, y += y_stride)
    out[r] = EK_SUM(dim, i, n, load(x + i, n, 0) * load(y + i, n, 0));
}

/// Eight rows at a time, so that a sum is read and written an eighth as often.
static void add_product(const float *x, const float *rows, size_t stride, float *out, size_t depth,
                        size_t columns) {
  size_t k = 0;
  for (; k + 8 <= depth; k += 8, rows += 8 * stride)
    EK_EACH(columns, i, n, {
      vec sum = load(out + i, n, 0);
      for (size_t j = 0; j < 8; j++) sum = load(rows + j * stride + i, n, 0) * x[k + j] + sum;
      store(out + i, sum, n);
    });
  for (; k < depth; k++, rows += stride)
    EK_EACH(columns, i, n, store(out + i, load(rows + i, n, 0) * x[k] + load(out + i, n, 0), n));
}

#endif
