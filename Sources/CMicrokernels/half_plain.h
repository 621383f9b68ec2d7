// Two-byte elements to and from floats in plain C, by integer arithmetic.
#ifndef EMBEDKERNEL_HALF_PLAIN_H
#define EMBEDKERNEL_HALF_PLAIN_H

#include <string.h>

EK_INLINE float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

EK_INLINE uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

EK_INLINE float from_half(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = (uint32_t)(half & 0x7FFF) << 13;
  if (magnitude > 0x0F800000) return float_of(sign | magnitude | 0x70400000);
  if (magnitude == 0x0F800000) return float_of(sign | 0x7F800000);
  if (magnitude < 0x00800000) return float_of(sign | bits_of((float)(half & 0x3FF) * 0x1p-24f));
  return float_of(sign | (magnitude + 0x38000000));
}

EK_INLINE uint16_t to_half(float value) {
  uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF, half;
  if (magnitude > 0x7F800000) {
    half = 0x7E00 | (magnitude >> 13 & 0x3FF);
  } else if (magnitude >= 0x47800000) {
    half = 0x7C00;
  } else if (magnitude >= 0x38800000) {
    uint32_t rebased = magnitude - 0x38000000;
    half = (rebased + 0xFFF + (rebased >> 13 & 1)) >> 13;
  } else {
    // Adding 0.5 rounds to the steps of 2^-24 that half's subnormals have.
    half = bits_of(float_of(magnitude) + 0.5f) - 0x3F000000;
  }
  return (uint16_t)(sign | half);
}

EK_INLINE uint16_t to_bf16(float value) {
  uint32_t bits = bits_of(value);
  uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
  return (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? quiet : rounded);
}

#endif
