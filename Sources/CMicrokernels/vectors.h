// Vectors of EK_WIDTH floats by the compiler's vector extension: one source for every instruction
// set. A file that includes this defines EK_WIDTH (4, 8 or 16) and EK_TARGET, the attribute that
// allows the instructions. No operation is contracted, so all widths give the same bits.
#ifndef EMBEDKERNEL_VECTORS_H
#define EMBEDKERNEL_VECTORS_H

#include <string.h>

#include "tile.h"

#pragma STDC FP_CONTRACT OFF

#define EK_VECTOR(type, bytes) type __attribute__((vector_size(bytes)))
#define EK_FUNCTION EK_TARGET static inline __attribute__((always_inline))

typedef EK_VECTOR(float, 4 * EK_WIDTH) vec;
typedef EK_VECTOR(uint32_t, 4 * EK_WIDTH) bits;
typedef EK_VECTOR(uint64_t, 4 * EK_WIDTH) pairs;

enum {
  width = EK_WIDTH,
  lanes = 32,             ///< Of a sum.
  parts = lanes / width,  ///< Vectors that hold them.
  group = 64,             ///< Elements that share 16 Philox blocks.
};

EK_FUNCTION vec load(const float *from) {
  vec value;
  memcpy(&value, from, sizeof value);
  return value;
}

EK_FUNCTION void store(float *to, vec value) { memcpy(to, &value, sizeof value); }

/// A store past the cache; `to` is aligned to the vector.
EK_FUNCTION void stream(float *to, vec value) { __builtin_nontemporal_store(value, (vec *)to); }

EK_FUNCTION vec splat(float value) { return (vec){0} + value; }

/// The sum of 32 lanes: each half is added to the other until one is left.
EK_FUNCTION float sum(vec *acc) {
  for (size_t half = parts / 2; half; half /= 2)
    for (size_t k = 0; k < half; k++) acc[k] += acc[k + half];
  vec v = acc[0];
#if EK_WIDTH == 16
  EK_VECTOR(float, 32)
  w = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
      __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
#elif EK_WIDTH == 8
  EK_VECTOR(float, 32) w = v;
#endif
#if EK_WIDTH >= 8
  EK_VECTOR(float, 16)
  x = __builtin_shufflevector(w, w, 0, 1, 2, 3) + __builtin_shufflevector(w, w, 4, 5, 6, 7);
#else
  EK_VECTOR(float, 16) x = v;
#endif
  return (x[0] + x[2]) + (x[1] + x[3]);
}

/// Adds the `count` < 32 values of a row's end to the first lanes.
EK_FUNCTION void add_tail(vec *acc, const float *values, size_t count) {
  float all[lanes];
  memcpy(all, acc, sizeof all);
  for (size_t k = 0; k < count; k++) all[k] += values[k];
  memcpy(acc, all, sizeof all);
}

/// The upper and lower halves of 32-bit products.
EK_FUNCTION void multiply(bits a, uint32_t by, bits *high, bits *low) {
  const uint64_t lower = 0xFFFFFFFF;
  pairs even = ((pairs)a & lower) * (uint64_t)by, odd = ((pairs)a >> 32) * (uint64_t)by;
  *high = (bits)((even >> 32) | (odd & ~lower));
  *low = (bits)((even & lower) | (odd << 32));
}

/// Philox 4x32-10 (Salmon et al., SC 2011) on `width` counters at once.
EK_FUNCTION void philox(bits c[4], uint64_t key) {
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  for (int round = 0; round < 10; round++) {
    bits high_a, low_a, high_b, low_b;
    multiply(c[0], 0xD2511F53, &high_a, &low_a);
    multiply(c[2], 0xCD9E8D57, &high_b, &low_b);
    c[0] = high_b ^ c[1] ^ k0;
    c[1] = low_b;
    c[2] = high_a ^ c[3] ^ k1;
    c[3] = low_a;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
}

/// The words of 64 neighbouring elements; `index` counts groups over all rows. Not inlined: it is
/// long, and called from many places.
EK_TARGET __attribute__((noinline)) static void draw(const ek_dropout *dropout, uint64_t index, bits words[group / width]) {
  const uint32_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  uint64_t block = index * 16;
  for (size_t h = 0; h < 16 / width; h++) {
    bits lane;
    memcpy(&lane, numbers + h * width, sizeof lane);
    bits zero = {0};
    bits c[4] = {lane + (uint32_t)block, zero + (uint32_t)(block >> 32),
                 zero + (uint32_t)dropout->stream, zero + (uint32_t)(dropout->stream >> 32)};
    philox(c, dropout->key);
    for (size_t k = 0; k < 4; k++) words[k * (16 / width) + h] = c[k];
  }
}

/// `value` scaled where its word is at least the threshold, else 0.
EK_FUNCTION vec keep(const ek_dropout *dropout, vec value, bits words) {
  bits kept = (bits)(words >= dropout->threshold);
  return (vec)((bits)(value * dropout->scale) & kept);
}

EK_FUNCTION float keep_alone(const ek_dropout *dropout, float value, uint32_t word) {
  return word >= dropout->threshold ? value * dropout->scale : 0;
}

#endif
