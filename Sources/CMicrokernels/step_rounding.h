// Between rows in bfloat16 and the floats that steps compute with: widened exactly, rounded to nearest
// even, or rounded up or down by the random bits that `Kernels.roundStochastically` takes.
#ifndef EMBEDKERNEL_STEP_ROUNDING_H
#define EMBEDKERNEL_STEP_ROUNDING_H

#include <string.h>

#include "CMicrokernels.h"

#define EK_INLINE static inline __attribute__((always_inline))

/// Columns that are summed and stepped together: their sum stays in L1.
#define EK_CHUNK 1024

/// Philox blocks that are computed side by side, of eight elements each.
#define EK_BLOCKS 16

/// wide[:n] = row[:n]
EK_INLINE float *ek_widen(float *restrict wide, const uint16_t *restrict row, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint32_t word = (uint32_t)row[i] << 16;
    memcpy(wide + i, &word, 4);
  }
  return wide;
}

EK_INLINE uint32_t ek_float_bits(float x) {
  uint32_t word;
  memcpy(&word, &x, 4);
  return word;
}

/// A bfloat16 of the bits of a float with `up` added below its last place; a NaN stays one.
EK_INLINE uint16_t ek_rounded(uint32_t word, uint32_t up) {
  uint32_t quiet = word >> 16 | 0x40, sum = (word + up) >> 16;
  return (uint16_t)((word & 0x7FFFFFFFu) > 0x7F800000u ? quiet : sum);
}

/// Random bits for the elements of EK_BLOCKS blocks from `first` on: two elements a word, the lower
/// half first.
EK_INLINE void ek_noise(uint32_t *restrict words, uint64_t first, uint64_t seed, uint64_t stream) {
  uint32_t c0[EK_BLOCKS], c1[EK_BLOCKS], c2[EK_BLOCKS], c3[EK_BLOCKS];
  for (size_t l = 0; l < EK_BLOCKS; l++) {
    c0[l] = (uint32_t)(first + l);
    c1[l] = (uint32_t)((first + l) >> 32);
    c2[l] = (uint32_t)stream;
    c3[l] = (uint32_t)(stream >> 32);
  }
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; round++) {
    for (size_t l = 0; l < EK_BLOCKS; l++) {
      uint64_t a = (uint64_t)0xD2511F53u * c0[l], b = (uint64_t)0xCD9E8D57u * c2[l];
      c0[l] = (uint32_t)(b >> 32) ^ c1[l] ^ k0;
      c1[l] = (uint32_t)b;
      c2[l] = (uint32_t)(a >> 32) ^ c3[l] ^ k1;
      c3[l] = (uint32_t)a;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (size_t l = 0; l < EK_BLOCKS; l++) {
    words[4 * l] = c0[l];
    words[4 * l + 1] = c1[l];
    words[4 * l + 2] = c2[l];
    words[4 * l + 3] = c3[l];
  }
}

/// Rounds a chunk of a row whose first element stands at `place` of the table.
EK_INLINE void ek_round(const ek_step_tile *t, uint16_t *restrict row, const float *restrict p,
                        uint64_t place, size_t n) {
  if (t->rounding == EK_ROUNDED_TO_NEAREST) {
    for (size_t i = 0; i < n; i++) {
      uint32_t word = ek_float_bits(p[i]);
      row[i] = ek_rounded(word, 0x7FFF + (word >> 16 & 1));
    }
    return;
  }
  // Whole blocks around the chunk, which may begin within one.
  uint32_t words[EK_CHUNK / 2 + 2 * EK_BLOCKS * 4];
  uint16_t noise[2 * (EK_CHUNK / 2 + 2 * EK_BLOCKS * 4)];
  uint64_t first = place / 8;
  size_t skip = place % 8, blocks = (skip + n + 7) / 8;
  for (size_t b = 0; b < blocks; b += EK_BLOCKS)
    ek_noise(words + 4 * b, first + b, t->seed, t->stream);
  for (size_t w = 0; w < 4 * blocks; w++) {
    noise[2 * w] = (uint16_t)words[w];
    noise[2 * w + 1] = (uint16_t)(words[w] >> 16);
  }
  for (size_t i = 0; i < n; i++) row[i] = ek_rounded(ek_float_bits(p[i]), noise[skip + i]);
}

#endif
