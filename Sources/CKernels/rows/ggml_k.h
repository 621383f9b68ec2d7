// GGUF's blocks of 256 columns whose parts have scales of their own, quantised in turn: Q4_K, Q6_K.
#ifndef EMBEDKERNEL_ROWS_GGML_K_H
#define EMBEDKERNEL_ROWS_GGML_K_H

#include "bytes.h"

#pragma STDC FP_CONTRACT OFF

enum { k_block = 256, q4_k_bytes = 144, q6_k_bytes = 210 };

#if defined(__aarch64__)
/// Bits from `shift` on.
EK_INLINE bytes16 bits_from(bytes16 bytes, unsigned shift, uint8_t mask) {
  return bytes >> (uint8_t)shift & mask;
}
#else
/// The same, by way of 32 bits: x86-64 shifts no bytes.
EK_INLINE ints shifted(bytes16 bytes, unsigned shift, int32_t mask) {
  return (ints)(__builtin_convertvector(bytes, bits) >> shift) & mask;
}
#endif

/// fp16 scale of scales, fp16 scale of minima, 12 bytes of eight 6-bit scales and minima, and
/// 4 bits (256) in four runs of 64: low bits, then high. Column c of part j is
/// (d * scale[j]) * q - (dmin * minimum[j]), products rounded.
EK_INLINE two load_q4_k(const char *row, size_t column) {
  const char *const block = row + column / k_block * q4_k_bytes;
  const size_t part = column % k_block / 32;
  const uint8_t *const packed = (const uint8_t *)block + 4;
  unsigned scale, minimum;
  if (part < 4) {
    scale = packed[part] & 63, minimum = packed[part + 4] & 63;
  } else {
    // Four low bits side by side; the two high ones are those that the first four parts left.
    scale = (packed[part + 4] & 15) | packed[part - 4] >> 6 << 4;
    minimum = packed[part + 4] >> 4 | packed[part] >> 6 << 4;
  }
  const float d = scale_f16(block) * (float)scale, m = scale_f16(block + 2) * (float)minimum;
  const two_bytes pairs = load_bytes(block + 16 + part / 2 * 32, 32);
  const unsigned shift = part % 2 * 4;
#if EK_WIDTH == 16
  const vec numbers = sixteen_levels() * d - m;
  return (two){look_up(__builtin_convertvector(pairs.a, bits) >> shift, numbers),
               look_up(__builtin_convertvector(pairs.b, bits) >> shift, numbers)};
#elif defined(__aarch64__)
  const vec a = floats(bits_from(pairs.a, shift, 15)), b = floats(bits_from(pairs.b, shift, 15));
  return (two){a * d - m, b * d - m};
#else
  const vec a = __builtin_convertvector(shifted(pairs.a, shift, 15), vec);
  const vec b = __builtin_convertvector(shifted(pairs.b, shift, 15), vec);
  return (two){a * d - m, b * d - m};
#endif
}

/// 4 low bits (256) and 2 high bits (256), both by halves of 128 columns, sixteen int8 scales, and
/// an fp16 scale of scales. Column c of part j of 16 is (d * scale[j]) * (q - 32).
EK_INLINE two load_q6_k(const char *row, size_t column) {
  const char *const block = row + column / k_block * q6_k_bytes;
  const size_t half = column % k_block / 128, quarter = column % 128 / 32;
  const two_bytes low = load_bytes(block + 64 * half + quarter % 2 * 32, 32);
  const two_bytes high = load_bytes(block + 128 + 32 * half, 32);
  const int8_t *const scales = (const int8_t *)block + 192 + column % k_block / 16;
  const float d = scale_f16(block + 208);
  const unsigned low_shift = (unsigned)(quarter / 2 * 4), high_shift = (unsigned)quarter * 2;
  const float first = d * (float)scales[0], second = d * (float)scales[1];
#if defined(__aarch64__)
  const bytes16 a = bits_from(low.a, low_shift, 15) | bits_from(high.a, high_shift, 3) << 4;
  const bytes16 b = bits_from(low.b, low_shift, 15) | bits_from(high.b, high_shift, 3) << 4;
  return (two){signed_floats(a - 32) * first, signed_floats(b - 32) * second};
#else
  const ints a = (shifted(low.a, low_shift, 15) | shifted(high.a, high_shift, 3) << 4) - 32;
  const ints b = (shifted(low.b, low_shift, 15) | shifted(high.b, high_shift, 3) << 4) - 32;
  return (two){__builtin_convertvector(a, vec) * first, __builtin_convertvector(b, vec) * second};
#endif
}

#endif
