// Between rows and moments of 16 bits an element and the floats that steps compute with: widened
// exactly, rounded to nearest even, or rounded up or down by random bits: a table's are those that
// `Kernels.roundStochastically` takes.
#ifndef EMBEDKERNEL_STEP_ROUNDING_H
#define EMBEDKERNEL_STEP_ROUNDING_H

#include "CKernels.h"
#include "element.h"
#include "philox.h"

enum {
  /// Columns that are summed and stepped together: their sum stays in L1.
  step_chunk = 1024,
  /// Elements between two looks at the rows to come: a few cache lines of each array.
  step_block = 64,
};

/// wide[:n] = row[:n]
EK_INLINE void widen_bf16(float *restrict wide, const uint16_t *restrict row, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint32_t word = (uint32_t)row[i] << 16;
    memcpy(wide + i, &word, 4);
  }
}

EK_INLINE float *widen_row(float *restrict wide, const uint16_t *row, size_t n, ek_element type) {
  if (type == EK_F16)
    EK_EACH(n, i, count, put(wide + i, load_one(row + i, EK_F16, count), count, false));
  else
    widen_bf16(wide, row, n);
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

/// A binary16 of a float with 16 random bits added below its last place, those that fall below the
/// float's own left out: what is past 65,504 goes up to infinity or down by them, what is 65,536 or
/// more is infinite; a NaN stays one.
EK_INLINE uint16_t round_f16(float x, uint32_t noise) {
  const uint32_t word = float_bits(x), magnitude = word & 0x7FFFFFFFu;
  const bool subnormal = magnitude < 0x38800000u;
  // Subnormal numbers have steps of 2^-24, of which 2^-40 is a part in 2^16.
  const uint32_t size = subnormal ? magnitude : 0;
  float small;
  memcpy(&small, &size, 4);
  const uint32_t low = ((uint32_t)(int32_t)(small * 0x1p40f) + noise) >> 16;
  const uint32_t high = (magnitude - 0x38000000u + (noise >> 3)) >> 13;
  uint32_t half = subnormal ? low : high;
  half = magnitude >= 0x47800000u ? 0x7C00 : half;
  half = magnitude > 0x7F800000u ? 0x7E00 | (magnitude >> 13 & 0x3FF) : half;
  return (uint16_t)((word >> 16 & 0x8000) | half);
}

/// Rounds a chunk of a row whose first element stands at `place` of the table.
EK_INLINE void round_row(const ek_step_tile *t, uint16_t *restrict row, const float *restrict p,
                         uint64_t place, size_t n) {
  const ek_element type = t->rounded_type;
  if (t->rounding == EK_ROUNDED_TO_NEAREST) {
    if (type == EK_F16) {
      EK_EACH(n, i, count, store_one(row + i, load(p + i, count, 0), EK_F16, count, false));
    } else {
      for (size_t i = 0; i < n; i++) {
        uint32_t word = float_bits(p[i]);
        row[i] = round_bf16(word, 0x7FFF + (word >> 16 & 1));
      }
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
  if (type == EK_F16)
    for (size_t i = 0; i < n; i++) row[i] = round_f16(p[i], noise[skip + i]);
  else
    for (size_t i = 0; i < n; i++) row[i] = round_bf16(float_bits(p[i]), noise[skip + i]);
}

/// 64 random bits of each number (the finaliser of SplitMix64, Steele et al., 2014).
EK_INLINE uint64_t scramble(uint64_t x) {
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
  x = (x ^ x >> 27) * 0x94D049BB133111EB;
  return x ^ x >> 31;
}

/// Rounds the first `count` values of a vector to bfloat16 by random bits below their last places.
EK_INLINE void round_by(uint16_t *to, vec value, bits noise, size_t count) {
  const bits all = (bits)value;
  const ints is_nan = value != value;
  const bits up = is_nan ? all | 0x400000 : all + noise;
  const bits16 elements = __builtin_convertvector(up >> 16, bits16);
  if (count == lanes)
    *(unaligned_bits16 *)to = elements;
  else
    store_end16(to, elements, count);
}

/// Rounds a block of both moments, of which `i` is the first column. State row and stream make a
/// key, key and column 32 bits, by two multiplications: the lower half for the first moment, the
/// upper for the second. Philox would take as long as the step.
EK_INLINE void round_moments(const ek_step_tile *t, uint16_t *restrict a, uint16_t *restrict b,
                             const float *restrict wide_a, const float *restrict wide_b,
                             uint64_t slot, size_t i, size_t n) {
  const uint64_t key = scramble(scramble(t->moment_stream) + slot * 0x9E3779B97F4A7C15);
  const uint32_t low = (uint32_t)key + (uint32_t)i, high = (uint32_t)(key >> 32);
  const bits columns = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  EK_EACH(n, j, count, {
    bits noise = columns + (low + (uint32_t)j);
    noise = (noise ^ noise >> 16) * 0x7FEB352D ^ high;
    noise = (noise ^ noise >> 15) * 0x846CA68B;
    noise ^= noise >> 16;
    round_by(a + j, load(wide_a + j, count, 0), noise & 0xFFFF, count);
    round_by(b + j, load(wide_b + j, count, 0), noise >> 16, count);
  });
}

#endif
