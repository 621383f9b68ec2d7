// Vectors of elements of any type, widened to floats and rounded from them, in plain C, for any
// machine; the conversions are integer arithmetic.
#ifndef EMBEDKERNEL_LANES_PLAIN_H
#define EMBEDKERNEL_LANES_PLAIN_H

#include "tile.h"

#include "half_plain.h"

#include <string.h>

#define EK_SET
#define EK_NAME(x) x##_plain
#define EK_STEP 16
#define EK_LINE 4
#define EK_FENCE() (void)0

typedef struct lanes {
  float v[EK_STEP];
} lanes;

EK_INLINE lanes lanes_load(const char *from, ek_element type, bool split) {
  (void)split;
  lanes result;
  if (type == EK_F32) {
    memcpy(result.v, from, sizeof result.v);
    return result;
  }
  uint16_t bits[EK_STEP];
  memcpy(bits, from, sizeof bits);
  for (int k = 0; k < EK_STEP; k++)
    result.v[k] = type == EK_BF16 ? float_of((uint32_t)bits[k] << 16) : from_half(bits[k]);
  return result;
}

EK_INLINE void lanes_store(char *to, lanes value, ek_element type, bool stream, bool split) {
  (void)stream, (void)split;
  if (type == EK_F32) {
    memcpy(to, value.v, sizeof value.v);
    return;
  }
  uint16_t bits[EK_STEP];
  for (int k = 0; k < EK_STEP; k++)
    bits[k] = type == EK_BF16 ? to_bf16(value.v[k]) : to_half(value.v[k]);
  memcpy(to, bits, sizeof bits);
}

EK_INLINE lanes lanes_scale(lanes value, float scale) {
  for (int k = 0; k < EK_STEP; k++) value.v[k] *= scale;
  return value;
}

EK_INLINE lanes lanes_add(lanes a, lanes b) {
  for (int k = 0; k < EK_STEP; k++) a.v[k] += b.v[k];
  return a;
}

#endif
