// GPT-2's GELU: (1 + tanh(u)) / 2 is 1 / (1 + e^-2u), so that
//
//   gelu(x) = x / (1 + e^-2u) with u = sqrt(2 / pi) * (x + 0.044715 x^3)
//
// Bytes an element, forward: 4 read and 4 written; backward: 8 read and 4 written.
#ifndef EMBEDKERNEL_GELU_H
#define EMBEDKERNEL_GELU_H

#include "exponential.h"

#pragma STDC FP_CONTRACT ON

/// 2u = EK_LINEAR * x + EK_CUBIC * x^3.
#define EK_LINEAR 1.5957691216057308
#define EK_CUBIC (EK_LINEAR * 0.044715)

/// x within +-9.9, where GELU is 0 or x to every place and powers of e are still normal floats.
EK_INLINE vec within_reach(vec x) {
  x = x > 9.9f ? (vec)(9.9f) : x;
  return x < -9.9f ? (vec)(-9.9f) : x;
}

/// e^-2u, as a power of two.
EK_INLINE vec gelu_power(vec x) {
  const double log2_e = 1.4426950408889634;
  const float linear = (float)(-EK_LINEAR * log2_e), cubic = (float)(-EK_CUBIC * log2_e);
  return power_of_two(x * (x * x * cubic + linear));
}

static void gelu(const float *x, float *out, size_t size) {
  EK_EACH(size, i, n, {
    vec v = load(x + i, n, 0);
    store(out + i, v / (gelu_power(within_reach(v)) + 1), n);
  });
}

/// With s = 1 / (1 + e^-2u): the slope is s + x * s * (1 - s) * 2u', and 1 - s is s * e^-2u, which
/// cancels nothing.
static void gelu_backward(const float *x, float *gradient, size_t size) {
  EK_EACH(size, i, n, {
    vec v = within_reach(load(x + i, n, 0));
    vec e = gelu_power(v), s = 1 / (e + 1);
    vec steepness = v * v * (float)(3 * EK_CUBIC) + (float)EK_LINEAR;
    vec slope = v * s * (s * e) * steepness + s;
    store(gradient + i, load(gradient + i, n, 0) * slope, n);
  });
}

#endif
