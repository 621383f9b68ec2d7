// LAMB: Adam's direction with weight decay, its length set by the ratio of the norms of each row.
//
// Bytes a row: D*4 read of the gradient, D*4 read and written of the table and of both moments; the
// second walk over the row finds them in cache.
#ifndef EMBEDKERNEL_STEP_LAMB_H
#define EMBEDKERNEL_STEP_LAMB_H

#include "step.h"

#pragma STDC FP_CONTRACT OFF

/// u = correction * a / (sqrt(b) + epsilon) + decay * p
EK_INLINE float direction(float p, float a, float b, const ek_step_scalars *s) {
  return s->correction * a / (square_root(b) + s->epsilon) + s->decay * p;
}

/// a += (1 - beta1) * (g - a); b += (1 - beta2) * (g * g - b); sum1 += p * p; sum2 += u * u
EK_INLINE void moments(EK_STRETCH, const ek_step_tile *tile, float *restrict sum1,
                       float *restrict sum2) {
  (void)low;
  const ek_step_scalars s = tile->scalars;
  for (size_t i = 0; i < n; i += sum_lanes) {
    size_t lanes = n - i < sum_lanes ? n - i : sum_lanes;
    for (size_t j = 0; j < lanes; j++) {
      float d = s.gradient_scale * g[i + j];
      float m = a[i + j] + s.first_rate * (d - a[i + j]);
      float v = b[i + j] + s.second_rate * (d * d - b[i + j]);
      a[i + j] = m;
      b[i + j] = v;
      float u = direction(p[i + j], m, v, &s);
      sum1[j] += p[i + j] * p[i + j];
      sum2[j] += u * u;
    }
  }
}

/// rate * |p| / |u|, or the rate itself where either is zero.
EK_INLINE float trusted_rate(float sum1, float sum2, float *row_state, const ek_step_tile *tile) {
  (void)row_state;
  float ratio = sum1 > 0 && sum2 > 0 ? square_root(sum1) / square_root(sum2) : 1;
  return tile->scalars.rate * ratio;
}

/// p -= factor * u
EK_INLINE void lamb(EK_STRETCH, const ek_step_tile *tile, float factor,
                    const ek_missed_steps *missed) {
  (void)low, (void)g, (void)missed;
  const ek_step_scalars s = tile->scalars;
  for (size_t i = 0; i < n; i++) p[i] -= factor * direction(p[i], a[i], b[i], &s);
}

static void step_lamb(const ek_step_tile *tile) {
  step_rows(tile, lamb, moments, trusted_rate, FLOAT_MOMENTS);
}

#endif
