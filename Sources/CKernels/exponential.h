// Powers on vectors, for softmax and GELU.
//
// z = n + r with a whole n and |r| <= 1/2; a polynomial of degree 6 gives 2^r within 2e-8 of
// itself, so that what is left is rounding: about 1e-7 relative in all.
#ifndef EMBEDKERNEL_EXPONENTIAL_H
#define EMBEDKERNEL_EXPONENTIAL_H

#include "vector.h"

#pragma STDC FP_CONTRACT ON

/// log2(e) as a float, and what that leaves out.
#define EK_LOG2_E 1.44269502f
#define EK_LOG2_E_REST 1.92596303e-08f

/// Adding this to a float within +-2^21 rounds it to a whole number, whose bits are then the
/// lowest.
#define EK_TO_WHOLE 0x1.8p23f

/// 2^(n + r) for a whole n = shifted - EK_TO_WHOLE within +-126 and |r| <= 1/2.
EK_INLINE vec power_of_parts(vec shifted, vec r) {
  vec p = r * 0.000153532572f + 0.00133990031f;
  p = p * r + 0.00961843878f;
  p = p * r + 0.0555033199f;
  p = p * r + 0.240226477f;
  p = p * r + 0.693147182f;
  p = p * r + 1;
  // 2^n, by n in the exponent's bits; casts of vectors keep their bits.
  return p * (vec)(((bits)shifted << 23) + 0x3F800000);
}

/// 2^z for z within +-126; NaN for NaN.
EK_INLINE vec power_of_two(vec z) {
  vec shifted = z + EK_TO_WHOLE;
  return power_of_parts(shifted, z - (shifted - EK_TO_WHOLE));
}

/// e^x for x up to 87; exactly 0 below -87.3, where e^x is about to be subnormal, and for minus
/// infinity; NaN for NaN. Without fused products the relative error grows by 6e-8 * |x|.
EK_INLINE vec exponential(vec x) {
  vec shifted = x * EK_LOG2_E + EK_TO_WHOLE;
  vec r = x * EK_LOG2_E - (shifted - EK_TO_WHOLE);
  r = x * EK_LOG2_E_REST + r;
  return x < -87.3f ? (vec)(0.0f) : power_of_parts(shifted, r);
}

#endif
