// GGUF's blocks of 32 columns with an fp16 scale each: Q8_0 and Q4_0.
#ifndef EMBEDKERNEL_ROWS_GGML_BLOCKS_H
#define EMBEDKERNEL_ROWS_GGML_BLOCKS_H

#include "bytes.h"

#pragma STDC FP_CONTRACT OFF

enum { q8_0_bytes = 34, q4_0_bytes = 18 };

/// fp16 scale, int8 (32): column c is q[c] * scale.
EK_INLINE two load_q8_0(const char *row, size_t column) {
  const char *const block = row + column / 32 * q8_0_bytes;
  const vec scale = scales_f16(block);
  const two_bytes q = load_bytes(block + 2, 32);
  return (two){signed_floats(q.a) * scale, signed_floats(q.b) * scale};
}

/// fp16 scale, 16 bytes: column c < 16 in the low bits of byte c, column c + 16 in its high bits,
/// is (q - 8) * scale.
EK_INLINE two load_q4_0(const char *row, size_t column) {
  const char *const block = row + column / 32 * q4_0_bytes;
  const vec scale = scales_f16(block);
  const bytes16 pairs = load_byte(block + 2, lanes);
#if EK_WIDTH == 16
  const vec numbers = (sixteen_levels() - 8) * scale;
  const bits wide = __builtin_convertvector(pairs, bits);
  return (two){look_up(wide, numbers), look_up(wide >> 4, numbers)};
#else
  return (two){signed_floats((pairs & 15) - 8) * scale, signed_floats((pairs >> 4) - 8) * scale};
#endif
}

#endif
