// Adagrad, with a sum of squares for each element or one for each row.
//
// Bytes a row: D*4 read of the gradient, D*4 read and written of the table, and as much of the sums
// where each element has one.
#ifndef EMBEDKERNEL_STEP_ADAGRAD_H
#define EMBEDKERNEL_STEP_ADAGRAD_H

#include "step.h"

#pragma STDC FP_CONTRACT OFF

/// d = g + coupled_decay * p; a += d * d; p -= rate * d / (sqrt(a) + epsilon)
EK_INLINE void adagrad(EK_STRETCH, const ek_step_tile *tile, float factor,
                       const ek_missed_steps *missed) {
  (void)b, (void)low, (void)factor, (void)missed;
  const ek_step_scalars s = tile->scalars;
  for (size_t i = 0; i < n; i++) {
    float d = s.gradient_scale * g[i] + s.coupled_decay * p[i];
    float sum = a[i] + d * d;
    a[i] = sum;
    p[i] -= s.rate * d / (square_root(sum) + s.epsilon);
  }
}

EK_INLINE void squares(EK_STRETCH, const ek_step_tile *tile, float *restrict sum1,
                       float *restrict sum2) {
  (void)a, (void)b, (void)low, (void)sum2;
  const ek_step_scalars s = tile->scalars;
  size_t i = 0;
  for (; i + sum_lanes <= n; i += sum_lanes)
    for (size_t j = 0; j < sum_lanes; j++) {
      float d = s.gradient_scale * g[i + j] + s.coupled_decay * p[i + j];
      sum1[j] += d * d;
    }
  for (size_t j = 0; i + j < n; j++) {
    float d = s.gradient_scale * g[i + j] + s.coupled_decay * p[i + j];
    sum1[j] += d * d;
  }
}

EK_INLINE float scaled_rate(float sum1, float sum2, float *row_state, const ek_step_tile *tile) {
  (void)sum2;
  float sum = *row_state + sum1 / (float)tile->dim;
  *row_state = sum;
  return tile->scalars.rate / (square_root(sum) + tile->scalars.epsilon);
}

/// p -= factor * (g + coupled_decay * p)
EK_INLINE void row_wise(EK_STRETCH, const ek_step_tile *tile, float factor,
                        const ek_missed_steps *missed) {
  (void)a, (void)b, (void)low, (void)missed;
  const ek_step_scalars s = tile->scalars;
  for (size_t i = 0; i < n; i++) {
    float d = s.gradient_scale * g[i] + s.coupled_decay * p[i];
    p[i] -= factor * d;
  }
}

static void step_adagrad(const ek_step_tile *tile) {
  step_rows(tile, adagrad, NULL, NULL, FLOAT_MOMENTS);
}
static void step_row_wise_adagrad(const ek_step_tile *tile) {
  step_rows(tile, row_wise, squares, scaled_rate, FLOAT_MOMENTS);
}

#endif
