// 64 bytes as bits: which are letters, numbers and so on of ASCII. Vectors of Clang, which become
// SSE2 or NEON; only how a vector becomes bits is each machine's own.
#ifndef EMBEDKERNEL_BITMAP_H
#define EMBEDKERNEL_BITMAP_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef int8_t truth16 __attribute__((vector_size(16)));

/// The classes of 64 bytes; bit i is the byte i. Bytes that are not ASCII are in `high` alone.
typedef struct bitmap {
  uint64_t letters, numbers, spaces, blanks, apostrophes, high;
} bitmap;

/// A bit for each byte, which is 0 or all ones.
static inline uint64_t bits64(truth16 a, truth16 b, truth16 c, truth16 d) {
#if defined(__SSE2__)
  uint64_t low = (uint32_t)_mm_movemask_epi8((__m128i)a) | (uint32_t)_mm_movemask_epi8((__m128i)b)
                                                               << 16;
  uint64_t high = (uint32_t)_mm_movemask_epi8((__m128i)c) | (uint32_t)_mm_movemask_epi8((__m128i)d)
                                                                << 16;
  return low | high << 32;
#elif defined(__ARM_NEON)
  const uint8x16_t weight = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  uint8x16_t low = vpaddq_u8(vandq_u8((uint8x16_t)a, weight), vandq_u8((uint8x16_t)b, weight));
  uint8x16_t high = vpaddq_u8(vandq_u8((uint8x16_t)c, weight), vandq_u8((uint8x16_t)d, weight));
  low = vpaddq_u8(low, high);
  return vgetq_lane_u64((uint64x2_t)vpaddq_u8(low, low), 0);
#else
  uint64_t bits = 0;
  for (int i = 0; i < 16; i++) {
    bits |= (uint64_t)(a[i] & 1) << i | (uint64_t)(b[i] & 1) << (16 + i) |
            (uint64_t)(c[i] & 1) << (32 + i) | (uint64_t)(d[i] & 1) << (48 + i);
  }
  return bits;
#endif
}

static inline truth16 are_letters(bytes16 v) { return (bytes16)((v | 0x20) - 'a') < 26; }
static inline truth16 are_numbers(bytes16 v) { return (bytes16)(v - '0') < 10; }
static inline truth16 are_blanks(bytes16 v) { return v == ' '; }
static inline truth16 are_spaces(bytes16 v) { return ((bytes16)(v - '\t') < 5) | are_blanks(v); }
static inline truth16 are_apostrophes(bytes16 v) { return v == '\''; }
static inline truth16 are_high(bytes16 v) { return v > 127; }

#define EK_BITS(test) bits64(test(v[0]), test(v[1]), test(v[2]), test(v[3]))

#if defined(EK_TEXT_AVX512)
/// Reads 64 bytes at `at`.
static inline bitmap classify(const uint8_t *at) {
  const __m512i v = _mm512_loadu_si512(at);
#define EK_LESS(from, first, count) \
  _mm512_cmplt_epu8_mask(_mm512_sub_epi8(from, _mm512_set1_epi8(first)), _mm512_set1_epi8(count))
#define EK_SAME(byte) _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(byte))
  const uint64_t blanks = EK_SAME(' ');
  return (bitmap){
      .letters = EK_LESS(_mm512_or_si512(v, _mm512_set1_epi8(0x20)), 'a', 26),
      .numbers = EK_LESS(v, '0', 10),
      .spaces = EK_LESS(v, '\t', 5) | blanks,
      .blanks = blanks,
      .apostrophes = EK_SAME('\''),
      .high = _mm512_movepi8_mask(v),
  };
}

/// Writes the places of `bits` to `ends`, each plus `base`; returns how many there are. Writes up
/// to 64 places in all, whatever bits there are.
static inline size_t places(uint64_t bits, uint32_t base, uint32_t *ends) {
  static const uint8_t numbers[64] = {
      0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
      22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
      44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
  const size_t count = (size_t)__builtin_popcountll(bits);
  const __m512i from = _mm512_set1_epi32((int)base);
  const __m512i found = _mm512_maskz_compress_epi8(bits, _mm512_loadu_si512(numbers));
#define EK_QUARTER(i)  \
  _mm512_storeu_si512( \
      ends + 16 * (i), \
      _mm512_add_epi32(from, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(found, i))))
  // More than there are of most, rather than a branch that can't be foreseen.
  EK_QUARTER(0);
  EK_QUARTER(1);
  if (count > 32) {
    EK_QUARTER(2);
    EK_QUARTER(3);
  }
#undef EK_QUARTER
  return count;
}
#else
/// Reads 64 bytes at `at`.
static inline bitmap classify(const uint8_t *at) {
  bytes16 v[4];
  memcpy(v, at, sizeof v);
  return (bitmap){
      .letters = EK_BITS(are_letters),
      .numbers = EK_BITS(are_numbers),
      .spaces = EK_BITS(are_spaces),
      .blanks = EK_BITS(are_blanks),
      .apostrophes = EK_BITS(are_apostrophes),
      .high = EK_BITS(are_high),
  };
}

/// Writes the places of `bits` to `ends`, each plus `base`; returns how many there are. Writes up
/// to 64 places in all, whatever bits there are.
static inline size_t places(uint64_t bits, uint32_t base, uint32_t *ends) {
  size_t count = (size_t)__builtin_popcountll(bits);
  // More than there are at once, rather than a branch for each.
  for (size_t done = 0; done < count; done += 12) {
#pragma clang loop unroll(full)
    for (size_t i = 0; i < 12; i++) {
      ends[done + i] = base + (uint32_t)__builtin_ctzll(bits | (uint64_t)1 << 63);
      bits &= bits - 1;
    }
  }
  return count;
}
#endif

#endif
