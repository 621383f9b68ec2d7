// Between rows in bfloat16 and the floats that steps compute with: widened exactly, rounded to
// nearest even, or rounded up or down by the random bits that `Kernels.roundStochastically` takes.
#ifndef EMBEDKERNEL_STEP_ROUNDING_H
#define EMBEDKERNEL_STEP_ROUNDING_H

#include "CKernels.h"
#include "philox.h"

/// Columns that are summed and stepped together: their sum stays in L1.
enum { step_chunk = 1024 };

/// wide[:n] = row[:n]
EK_INLINE float *widen_row(float *restrict wide, const uint16_t *restrict row, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint32_t word = (uint32_t)row[i] << 16;
    memcpy(wide + i, &word, 4);
  }
  return wide;
}

EK_INLINE uint32_t float_bits(float x) {
  uint32_t word;
  memcpy(&word, &x, 4);
  return word;
}

/// A bfloat16 of the bits of a float with `up` added below its last place; a NaN stays one.
EK_INLINE uint16_t round_bf16(uint32_t word, uint32_t up) {
  uint32_t quiet = word >> 16 | 0x40, sum = (word + up) >> 16;
  return (uint16_t)((word & 0x7FFFFFFFu) > 0x7F800000u ? quiet : sum);
}

/// Rounds a chunk of a row whose first element stands at `place` of the table.
EK_INLINE void round_row(const ek_step_tile *t, uint16_t *restrict row, const float *restrict p,
                         uint64_t place, size_t n) {
  if (t->rounding == EK_ROUNDED_TO_NEAREST) {
    for (size_t i = 0; i < n; i++) {
      uint32_t word = float_bits(p[i]);
      row[i] = round_bf16(word, 0x7FFF + (word >> 16 & 1));
    }
    return;
  }
  // Whole blocks around the chunk, which may begin within one: eight elements a block, two a word,
  // the lower half first.
  uint32_t pairs[step_chunk / 2 + 2 * 4 * lanes];
  uint16_t noise[2 * (step_chunk / 2 + 2 * 4 * lanes)];
  const uint64_t first = place / 8;
  const size_t skip = place % 8, blocks = (skip + n + 7) / 8;
  for (size_t b = 0; b < blocks; b += lanes) {
    bits words[4];
    philox(first + b, t->stream, t->seed, words);
    for (size_t l = 0; l < lanes; l++)
      for (size_t k = 0; k < 4; k++) pairs[4 * (b + l) + k] = ((const uint32_t *)(words + k))[l];
  }
  for (size_t w = 0; w < 4 * blocks; w++) {
    noise[2 * w] = (uint16_t)pairs[w];
    noise[2 * w + 1] = (uint16_t)(pairs[w] >> 16);
  }
  for (size_t i = 0; i < n; i++) row[i] = round_bf16(float_bits(p[i]), noise[skip + i]);
}

#endif
