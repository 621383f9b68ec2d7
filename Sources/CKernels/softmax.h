// Powers of a row and its cross-entropy. The largest element is taken off first, so that no power
// overflows.
//
// Passes over the row: the largest; powers and their sum; the division by it.
#ifndef EMBEDKERNEL_SOFTMAX_H
#define EMBEDKERNEL_SOFTMAX_H

#include <math.h>

#include "exponential.h"

#pragma STDC FP_CONTRACT ON

EK_INLINE float largest_of(const float *row, size_t size) {
  return EK_REDUCE(size, i, n, -INFINITY, EK_LARGER, load(row + i, n, -INFINITY));
}

/// row = e^(row - most), whose sum is returned.
EK_INLINE float put_powers(float *row, size_t size, float most) {
  return EK_SUM(size, i, n, ({
                  vec power = exponential(load(row + i, n, -INFINITY) - most);
                  store(row + i, power, n);
                  power;
                }));
}

EK_INLINE void scale(float *row, size_t size, float factor) {
  EK_EACH(size, i, n, store(row + i, load(row + i, n, 0) * factor, n));
}

/// Hides row[visible...] up to the end of a vector, so that the passes go by whole vectors where
/// the row has room for them. Returns how far they go.
EK_INLINE size_t round_up(float *row, size_t visible, size_t size, float hidden) {
  size_t start = visible / lanes * lanes, end = start + lanes;
  if (start == visible || end > size) return visible;
  store(row + start, keep(load(row + start, lanes, 0), visible - start, hidden), lanes);
  return end;
}

EK_INLINE void hide(float *row, size_t visible, size_t size) {
  memset(row + visible, 0, (size - visible) * sizeof *row);
}

/// log(sum) + most - target, in double for logits far from 0.
EK_INLINE float loss_of(float sum, float most, float target) {
  return (float)(log((double)sum) + ((double)most - (double)target));
}

static float powers(float *row, size_t size, float *most) {
  *most = largest_of(row, size);
  return put_powers(row, size, *most);
}

static void scale_row(float *row, size_t size, float factor) { scale(row, size, factor); }

static float cross_entropy(const float *logits, size_t size, size_t target) {
  const float most = largest_of(logits, size);
  const float powers = EK_SUM(size, i, n, exponential(load(logits + i, n, -INFINITY) - most));
  return loss_of(powers, most, logits[target]);
}

static float cross_entropy_gradient(float *logits, size_t size, size_t target, float weight) {
  const float most = largest_of(logits, size), aim = logits[target];
  const float powers = put_powers(logits, size, most);
  scale(logits, size, weight / powers);
  logits[target] -= weight;
  return loss_of(powers, most, aim);
}

#endif
