// Stochastic gradient descent, with and without momentum.
//
// Bytes a row: D*4 read of the gradient, D*4 read and written of the table and of the momentum.
#ifndef EMBEDKERNEL_STEP_SGD_H
#define EMBEDKERNEL_STEP_SGD_H

#include "step.h"

#pragma STDC FP_CONTRACT OFF

/// p -= rate * (g + coupled_decay * p)
EK_INLINE void sgd(EK_STRETCH, const ek_step_tile *tile, float factor,
                   const ek_missed_steps *missed) {
  (void)a, (void)b, (void)low, (void)factor, (void)missed;
  const ek_step_scalars s = tile->scalars;
  for (size_t i = 0; i < n; i++) {
    float d = s.gradient_scale * g[i] + s.coupled_decay * p[i];
    p[i] -= s.rate * d;
  }
}

/// d = g + coupled_decay * p; a = momentum * a + d; p -= rate * a,
/// or with Nesterov's look ahead p -= rate * (d + momentum * a)
EK_INLINE void momentum(EK_STRETCH, const ek_step_tile *tile, float factor,
                        const ek_missed_steps *missed) {
  (void)b, (void)low, (void)factor, (void)missed;
  const ek_step_scalars s = tile->scalars;
  if (s.nesterov) {
    for (size_t i = 0; i < n; i++) {
      float d = s.gradient_scale * g[i] + s.coupled_decay * p[i];
      a[i] = s.first_rate * a[i] + d;
      p[i] -= s.rate * (d + s.first_rate * a[i]);
    }
  } else {
    for (size_t i = 0; i < n; i++) {
      float d = s.gradient_scale * g[i] + s.coupled_decay * p[i];
      a[i] = s.first_rate * a[i] + d;
      p[i] -= s.rate * a[i];
    }
  }
}

static void step_sgd(const ek_step_tile *tile) { step_rows(tile, sgd, NULL, NULL, FLOAT_MOMENTS); }
static void step_momentum(const ek_step_tile *tile) {
  step_rows(tile, momentum, NULL, NULL, FLOAT_MOMENTS);
}

#endif
