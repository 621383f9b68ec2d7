// fp8 e4m3 rows: 4 bits of exponent from 2^-6 on, 3 of fraction, no infinities, and NaN where all
// but the sign are set. Column c is the number itself, or that number times a scale.
#ifndef EMBEDKERNEL_ROWS_FP8_H
#define EMBEDKERNEL_ROWS_FP8_H

#include "bytes.h"

#pragma STDC FP_CONTRACT OFF

#if EK_WIDTH > 4 || defined(__aarch64__)
/// An fp8 shifted to the place of an fp16's exponent is that number over 2^8, subnormal ones too.
/// NaN, which would be a number there, takes the bit of the exponent above.
EK_INLINE vec fp8_floats(bytes16 elements) {
  const bits16 wide = __builtin_convertvector(elements, bits16), magnitude = wide & 0x7F;
  const bits16 rebased = magnitude + (magnitude + 1 & 0x80);
  return from_f16(rebased << 7 | (wide & 0x80) << 8) * 0x1p8f;
}
#else
EK_INLINE vec fp8_floats(bytes16 elements) {
  const bits wide = __builtin_convertvector(elements, bits), magnitude = wide & 0x7F;
  const bits subnormal = (bits)(__builtin_convertvector((ints)magnitude, vec) * 0x1p-9f);
  bits number = magnitude < 8 ? subnormal : (magnitude << 20) + 0x3C000000;
  number = magnitude == 0x7F ? (bits)0x7FF00000 : number;
  return (vec)(number | (wide & 0x80) << 24);
}
#endif

/// A scale of eight bits of exponent: 2^(byte - 127), or NaN.
EK_INLINE float scale_ue8m0(const char *at) {
  const uint32_t exponent = (uint8_t)*at;
  const uint32_t number = exponent == 0      ? 0x00400000
                          : exponent == 0xFF ? 0x7FC00000
                                             : exponent << 23;
  float scale;
  memcpy(&scale, &number, sizeof scale);
  return scale;
}

/// The first `count` of 32 columns.
EK_INLINE two load_fp8(const char *from, size_t count) {
  const two_bytes q = load_bytes(from, count);
  return (two){fp8_floats(q.a), fp8_floats(q.b)};
}

EK_INLINE two load_scaled_fp8(const char *from, float scale, size_t count) {
  const two v = load_fp8(from, count);
  return (two){v.a * scale, v.b * scale};
}

#endif
