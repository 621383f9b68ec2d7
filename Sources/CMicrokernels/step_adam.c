// Adam and AdamW, and the steps with zero gradient that a row of exact-lazy AdamW has missed.
//
// Bytes a row: D*4 read of the gradient, D*4 read and written of the table and of both moments; with
// a residual D more read and written.
#include "step.h"

#include <string.h>

EK_INLINE uint32_t bits(float x) {
  uint32_t word;
  memcpy(&word, &x, 4);
  return word;
}

EK_INLINE float from_bits(uint32_t word) {
  float x;
  memcpy(&x, &word, 4);
  return x;
}

/// The power of two in `x`, at least 2^-64, so that 1/64 of its last place is a normal number.
EK_INLINE uint32_t exponent(float x) {
  uint32_t e = bits(x) & 0x7F800000u;
  return e < 63u << 23 ? 63u << 23 : e;
}

/// Takes `change` from `p` and the residual together, and rounds to both. The residual's unit is
/// 1/64 of the last place: rounding leaves 32 at most, and a byte has room for the few units more
/// where a change outweighs its parameter and the error below is not exact.
EK_INLINE float subtract(float p, float change, int8_t *low) {
#pragma STDC FP_CONTRACT OFF
  // 2^(e - 23 - 6)
  float unit = from_bits(exponent(p) - (29u << 23));
  float s = change - (float)*low * unit;
  float next = p - s;
  // The error of the difference, exact where |p| >= |s| (Dekker).
  float error = (p - next) - s;
  float per_unit = from_bits((254u << 23) + (29u << 23) - exponent(next));
  // The sum has the integer in its low bits.
  *low = (int8_t)(uint8_t)bits(error * per_unit + 12582912.0f);
  return next;
}

/// The missed terms of one element, one by one.
static float exact_sum(float first, float second, const ek_missed_steps *missed,
                       const ek_step_history *h) {
#pragma STDC FP_CONTRACT OFF
  double m = (double)first * missed->first_lead, v = (double)second * missed->second_lead;
  double weight = missed->keep, sum = 0;
  int64_t last = missed->to - missed->from > h->longest ? missed->from + h->longest : missed->to;
  for (int64_t step = missed->from + 1; step <= last; step++) {
    int64_t at = step & h->mask;
    weight /= 1 - h->loss[at];
    m *= h->first_beta;
    v *= h->second_beta;
    sum += weight * h->size[at] * m / (__builtin_elementwise_sqrt(v) + h->epsilon[at]);
  }
  return (float)sum;
}

/// p -= loss * p + sum * first / (sqrt(second) + epsilon)
EK_INLINE void catch_up_parameters(EK_STRETCH, const ek_step_tile *tile,
                                   const ek_missed_steps *missed) {
#pragma STDC FP_CONTRACT OFF
  (void)g;
  const ek_missed_steps s = *missed;
  if (s.from == s.to) return;
  int32_t needs_terms = 0;
  for (size_t i = 0; i < n; i++) needs_terms |= (b[i] < s.floor) & (a[i] != 0);
  if (needs_terms) {
    for (size_t i = 0; i < n; i++) {
      float sum = b[i] < s.floor && a[i] != 0 ? exact_sum(a[i], b[i], missed, &tile->history)
                                              : s.sum * a[i] / (ek_sqrt(b[i]) + s.epsilon);
      float change = s.loss * p[i] + sum;
      p[i] = low ? subtract(p[i], change, low + i) : p[i] - change;
    }
  } else if (low) {
    for (size_t i = 0; i < n; i++) {
      float change = s.loss * p[i] + s.sum * a[i] / (ek_sqrt(b[i]) + s.epsilon);
      p[i] = subtract(p[i], change, low + i);
    }
  } else {
    for (size_t i = 0; i < n; i++)
      p[i] -= s.loss * p[i] + s.sum * a[i] / (ek_sqrt(b[i]) + s.epsilon);
  }
}

EK_INLINE void catch_up(EK_STRETCH, const ek_step_tile *tile, float factor,
                        const ek_missed_steps *missed) {
  (void)factor;
  catch_up_parameters(p, a, b, low, g, n, tile, missed);
}

EK_INLINE void catch_up_all(EK_STRETCH, const ek_step_tile *tile, float factor,
                            const ek_missed_steps *missed) {
#pragma STDC FP_CONTRACT OFF
  (void)factor;
  catch_up_parameters(p, a, b, low, g, n, tile, missed);
  const ek_missed_steps s = *missed;
  for (size_t i = 0; i < n; i++) {
    a[i] = s.first_whole * a[i] + s.first_part * a[i];
    b[i] = s.second_whole * b[i] + s.second_part * b[i];
  }
}

/// d = g + coupled_decay * p; a += (1 - beta1) * (d - a); b += (1 - beta2) * (d * d - b);
/// p -= decay * p + rate * a / (sqrt(b) + epsilon)
EK_INLINE void adam(EK_STRETCH, const ek_step_tile *tile, float factor,
                    const ek_missed_steps *missed) {
#pragma STDC FP_CONTRACT OFF
  const ek_step_scalars s = tile->scalars;
  if (missed && missed->moments_decay)
    catch_up_all(p, a, b, low, g, n, tile, factor, missed);
  if (low) {
    for (size_t i = 0; i < n; i++) {
      float d = s.gradient_scale * g[i] + s.coupled_decay * p[i];
      float m = a[i] + s.first_rate * (d - a[i]);
      float v = b[i] + s.second_rate * (d * d - b[i]);
      a[i] = m;
      b[i] = v;
      p[i] = subtract(p[i], s.decay * p[i] + s.rate * m / (ek_sqrt(v) + s.epsilon), low + i);
    }
  } else {
    for (size_t i = 0; i < n; i++) {
      float d = s.gradient_scale * g[i] + s.coupled_decay * p[i];
      float m = a[i] + s.first_rate * (d - a[i]);
      float v = b[i] + s.second_rate * (d * d - b[i]);
      a[i] = m;
      b[i] = v;
      p[i] -= s.decay * p[i] + s.rate * m / (ek_sqrt(v) + s.epsilon);
    }
  }
}

EK_STEP_KERNELS(adam, adam, NULL, NULL)
EK_STEP_KERNELS(catch_up, catch_up, NULL, NULL)
EK_STEP_KERNELS(catch_up_all, catch_up_all, NULL, NULL)
