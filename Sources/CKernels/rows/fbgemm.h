// FBGEMM's rows of 8 and of 4 bits, each with a scale and a bias at its end: column c is
// q[c] * scale + bias, rounded once. With 4 bits and 16-bit scales the product is exact. With 8
// bits, FBGEMM decodes eight columns at a time, and those that are left by way of doubles.
#ifndef EMBEDKERNEL_ROWS_FBGEMM_H
#define EMBEDKERNEL_ROWS_FBGEMM_H

#include "bytes.h"

#pragma STDC FP_CONTRACT OFF

#if EK_WIDTH > 4 || defined(__aarch64__)
EK_INLINE vec multiply_add(vec a, float b, float c) {
  return __builtin_elementwise_fma(a, (vec)b, (vec)c);
}
#else
typedef double doubles __attribute__((ext_vector_type(4)));
typedef int64_t longs __attribute__((ext_vector_type(4)));
typedef float four_floats __attribute__((ext_vector_type(4)));

/// Bytes times a float are exact in doubles. Their sum with another float is rounded to odd there,
/// so that rounding it to a float is as if it were exact.
EK_INLINE four_floats multiply_add_4(four_floats a, float b, float c) {
  const doubles product = __builtin_convertvector(a, doubles) * (double)b, addend = (double)c;
  const doubles sum = product + addend, added = sum - product;
  const doubles lost = (product - (sum - added)) + (addend - added);
  const longs is_even = ((longs)sum & 1) == 0;
  // Towards what was lost: away from zero where the signs are the same.
  const longs step = (longs)((lost > 0) == (sum > 0)) != 0 ? (longs)1 : (longs)-1;
  const longs inexact = (lost > 0) | (lost < 0);
  return __builtin_convertvector((doubles)((longs)sum + (inexact & is_even & step)), four_floats);
}

EK_INLINE vec multiply_add(vec a, float b, float c) {
  vec all;
  all.lo.lo = multiply_add_4(a.lo.lo, b, c);
  all.lo.hi = multiply_add_4(a.lo.hi, b, c);
  all.hi.lo = multiply_add_4(a.hi.lo, b, c);
  all.hi.hi = multiply_add_4(a.hi.hi, b, c);
  return all;
}
#endif

/// The same rounded to a double first: another float once in some 2^29 of them.
EK_INLINE vec multiply_add_twice(vec a, float b, float c) {
  typedef double doubles16 __attribute__((ext_vector_type(16)));
  const doubles16 product = __builtin_convertvector(a, doubles16) * (double)b;
  return __builtin_convertvector(product + (double)c, vec);
}

EK_INLINE row_factors fbgemm8_factors(const char *row, size_t dim) {
  return (row_factors){scale_f32(row + dim), scale_f32(row + dim + 4), 0};
}

/// The first `count` of 32 columns from `column` on of a row of 8 bits.
EK_INLINE two load_fbgemm8(const char *row, row_factors f, size_t column, size_t count) {
  const two_bytes q = load_bytes(row + column, count);
  const vec a = floats(q.a), b = floats(q.b);
  two v = {multiply_add(a, f.scale, f.bias), multiply_add(b, f.scale, f.bias)};
  if (__builtin_expect(count % 8 != 0, 0)) {
    const size_t eights = count / 8 * 8;
    v.a = first_lanes(eights) ? v.a : multiply_add_twice(a, f.scale, f.bias);
    v.b = first_lanes(eights < lanes ? 0 : eights - lanes) ? v.b
                                                           : multiply_add_twice(b, f.scale, f.bias);
  }
  return v;
}

EK_INLINE row_factors fbgemm4_factors(const char *row, size_t dim) {
  const char *const end = row + (dim + 1) / 2;
#if EK_WIDTH == 16
  // Both numbers spread by a load and widened at once: even lanes hold scales, odd ones biases.
  int32_t pair;
  memcpy(&pair, end, sizeof pair);
  const __m512 both = _mm512_cvtph_ps(_mm256_set1_epi32(pair));
  const vec scale = _mm512_moveldup_ps(both), bias = _mm512_movehdup_ps(both);
  return (row_factors){0, 0, sixteen_levels() * scale + bias};
#else
  return (row_factors){scale_f16(end), scale_f16(end + 2), 0};
#endif
}

/// The same of a row of 4 bits, two columns a byte, the first in the low bits; with `split` the
/// even columns and the odd ones, which takes three fifths of the instructions.
EK_INLINE two load_fbgemm4(const char *row, row_factors f, size_t column, size_t count,
                           bool split) {
  (void)split;
#if EK_WIDTH == 16
  if (split) {
    const bits pairs = __builtin_convertvector(load_byte(row + column / 2, (count + 1) / 2), bits);
    return (two){look_up(pairs, f.numbers), look_up(pairs >> 4, f.numbers)};
  }
  typedef uint8_t bytes8 __attribute__((ext_vector_type(8)));
  typedef uint64_t longs8 __attribute__((ext_vector_type(8)));
  bytes8 a, b;
  if (count == 2 * lanes) {
    // By halves, each of which is widened as it is loaded.
    memcpy(&a, row + column / 2, sizeof a);
    memcpy(&b, row + column / 2 + sizeof a, sizeof b);
  } else {
    const bytes16 pairs = load_byte(row + column / 2, (count + 1) / 2);
    a = pairs.lo, b = pairs.hi;
  }
  // A byte in each 64 bits, and its high bits in the upper half too: the low bits of a lane count.
  const longs8 low = __builtin_convertvector(a, longs8), high = __builtin_convertvector(b, longs8);
  return (two){look_up((bits)(low | low << 28), f.numbers),
               look_up((bits)(high | high << 28), f.numbers)};
#else
  const bytes16 pairs = load_byte(row + column / 2, (count + 1) / 2);
  const bytes16 low = pairs & 15, high = pairs >> 4;
  bytes16 a =
      __builtin_shufflevector(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  bytes16 b = __builtin_shufflevector(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14,
                                      30, 15, 31);
#if defined(__aarch64__)
  // Hides where they come from: else each of eight vectors is gathered from both of these at once.
  __asm__("" : "+w"(a), "+w"(b));
#endif
  return (two){floats(a) * f.scale + f.bias, floats(b) * f.scale + f.bias};
#endif
}

#endif
