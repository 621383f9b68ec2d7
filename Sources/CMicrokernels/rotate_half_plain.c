// Rotation of pairs of two-byte elements in plain C, for any machine: what the compiler makes of
// the loops.
#include "rotate.h"

#include "half_plain.h"

#define EK_SET
#define EK_NAME(x) x##_plain
#define EK_STEP 8
#define EK_FENCE() (void)0

typedef struct lane {
  float v[EK_STEP];
} lane;
typedef struct pairs {
  lane a, b;
} pairs;

EK_INLINE lane lane_of(const float *from) {
  lane result;
  memcpy(result.v, from, sizeof result.v);
  return result;
}

EK_INLINE lane lane_flip(lane v, uint32_t sign) {
  for (int k = 0; k < EK_STEP; k++) v.v[k] = ek_flip(v.v[k], sign);
  return v;
}

EK_INLINE lane lane_mul(lane v, lane w) {
#pragma STDC FP_CONTRACT OFF
  for (int k = 0; k < EK_STEP; k++) v.v[k] *= w.v[k];
  return v;
}

EK_INLINE lane lane_add(lane v, lane w) {
#pragma STDC FP_CONTRACT OFF
  for (int k = 0; k < EK_STEP; k++) v.v[k] += w.v[k];
  return v;
}

EK_INLINE lane lane_sub(lane v, lane w) {
#pragma STDC FP_CONTRACT OFF
  for (int k = 0; k < EK_STEP; k++) v.v[k] -= w.v[k];
  return v;
}

EK_INLINE float to_float(uint16_t bits, ek_element type) {
  return type == EK_BF16 ? float_of((uint32_t)bits << 16) : from_half(bits);
}

EK_INLINE uint16_t from_float(float value, ek_element type) {
  return type == EK_BF16 ? to_bf16(value) : to_half(value);
}

EK_INLINE lane widen(const char *from, ek_element type) {
  uint16_t bits[EK_STEP];
  lane result;
  memcpy(bits, from, sizeof bits);
  for (int k = 0; k < EK_STEP; k++) result.v[k] = to_float(bits[k], type);
  return result;
}

EK_INLINE void narrow_to(char *to, lane v, ek_element type, bool stream) {
  (void)stream;
  uint16_t bits[EK_STEP];
  for (int k = 0; k < EK_STEP; k++) bits[k] = from_float(v.v[k], type);
  memcpy(to, bits, sizeof bits);
}

EK_INLINE pairs pairs_load(const char *from, ek_element type) {
  uint16_t bits[2 * EK_STEP];
  pairs p;
  memcpy(bits, from, sizeof bits);
  for (int k = 0; k < EK_STEP; k++) {
    p.a.v[k] = to_float(bits[2 * k], type);
    p.b.v[k] = to_float(bits[2 * k + 1], type);
  }
  return p;
}

EK_INLINE void pairs_store(char *to, pairs p, ek_element type, bool stream) {
  (void)stream;
  uint16_t bits[2 * EK_STEP];
  for (int k = 0; k < EK_STEP; k++) {
    bits[2 * k] = from_float(p.a.v[k], type);
    bits[2 * k + 1] = from_float(p.b.v[k], type);
  }
  memcpy(to, bits, sizeof bits);
}

#include "rotate_half.h"
