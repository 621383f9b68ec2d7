// The classes of characters of two and three bytes, sixteen at once.
#ifndef EMBEDKERNEL_CHARACTERS_AVX512_H
#define EMBEDKERNEL_CHARACTERS_AVX512_H

#include "characters.h"

/// The classes of a block's characters that are not ASCII: all bits of each set, and where no token
/// joins one to the byte before it.
typedef struct wide_classes {
  uint64_t letters, numbers, spaces, spaces2, spaces3, cuts;
  /// The bytes of the block's whole characters.
  size_t length;
} wide_classes;

/// All bytes of the characters whose first ones are `leads`; of them `threes` have three.
static inline uint64_t spread(uint64_t leads, uint64_t threes) {
  return leads | leads << 1 | (leads & threes) << 2;
}

/// False where one of the characters has four bytes or is ill-formed. 66 bytes at `at` are text,
/// and the one before where `before` is set.
static inline bool read_wide(const uint8_t *at, const uint64_t *joins, bool before,
                             wide_classes *w) {
  const __m512i v = _mm512_loadu_si512(at);
  const __m512i marks = _mm512_and_si512(v, _mm512_set1_epi8((char)0xF0));
  uint64_t threes = _mm512_cmpeq_epi8_mask(marks, _mm512_set1_epi8((char)0xE0));
  uint64_t twos = _mm512_cmpge_epu8_mask(v, _mm512_set1_epi8((char)0xC2)) &
                  _mm512_cmplt_epu8_mask(v, _mm512_set1_epi8((char)0xE0));
  uint64_t following = _mm512_cmpeq_epi8_mask(_mm512_and_si512(v, _mm512_set1_epi8((char)0xC0)),
                                              _mm512_set1_epi8((char)0x80));
  if (_mm512_movepi8_mask(v) & ~(threes | twos | following)) return false;
  // A character over the edge is the next block's.
  const uint64_t over = (threes & (uint64_t)3 << 62) | (twos & (uint64_t)1 << 63);
  w->length = over ? (size_t)__builtin_ctzll(over) : 64;
  const uint64_t whole = over ? (over & -over) - 1 : ~(uint64_t)0;
  threes &= whole, twos &= whole, following &= whole;
  const uint64_t leads = threes | twos;
  // Each is followed by as many bytes as it says, and by no character's first one among them.
  if (following != (leads << 1 | threes << 2)) return false;

  const __m512i first = _mm512_maskz_compress_epi8(leads, v),
                second = _mm512_maskz_compress_epi8(leads, _mm512_loadu_si512(at + 1)),
                third = _mm512_maskz_compress_epi8(leads, _mm512_loadu_si512(at + 2)),
                ahead = _mm512_maskz_compress_epi8(
                    leads, _mm512_maskz_loadu_epi8(before ? ~(uint64_t)0 : ~(uint64_t)1, at - 1));
  const uint64_t are_threes = _pext_u64(threes, leads);
  uint64_t low = 0, high = 0, apart = 0;
  const size_t count = (size_t)__builtin_popcountll(leads);
  const __m512i six = _mm512_set1_epi32(0x3F), zero = _mm512_setzero_si512();
#define EK_QUARTER(vector, i) \
  _mm512_cvtepu8_epi32((i) ? _mm512_extracti32x4_epi32(vector, 1) : _mm512_castsi512_si128(vector))
  for (size_t i = 0; i * 16 < count; i++) {
    // At most 32 characters fit.
    const __mmask16 lanes =
        count - i * 16 >= 16 ? 0xFFFF : (__mmask16)((1u << (count - i * 16)) - 1);
    const __mmask16 is_three = (__mmask16)(are_threes >> i * 16);
    const __m512i a = EK_QUARTER(first, i), b = _mm512_and_si512(EK_QUARTER(second, i), six),
                  c = _mm512_and_si512(EK_QUARTER(third, i), six);
    __m512i point =
        _mm512_or_si512(_mm512_slli_epi32(_mm512_and_si512(a, _mm512_set1_epi32(0x1F)), 6), b);
    point = _mm512_mask_or_epi32(
        point, is_three, _mm512_slli_epi32(_mm512_and_si512(point, _mm512_set1_epi32(0x3FF)), 6),
        c);
    point = _mm512_mask_or_epi32(
        point, is_three, point, _mm512_slli_epi32(_mm512_and_si512(a, _mm512_set1_epi32(0xF)), 12));
    const __mmask16 overlong =
        _mm512_mask_cmplt_epu32_mask(is_three & lanes, point, _mm512_set1_epi32(0x800));
    const __mmask16 surrogate = _mm512_mask_cmpeq_epu32_mask(lanes, _mm512_srli_epi32(point, 11),
                                                             _mm512_set1_epi32(0xD800 >> 11));
    if (overlong | surrogate) return false;
    __m512i index =
        _mm512_mask_i32gather_epi32(zero, lanes, _mm512_srli_epi32(point, 7), class_index, 1);
    index = _mm512_or_si512(_mm512_slli_epi32(_mm512_and_si512(index, _mm512_set1_epi32(0xFF)), 3),
                            _mm512_and_si512(_mm512_srli_epi32(point, 4), _mm512_set1_epi32(7)));
    __m512i kind = _mm512_mask_i32gather_epi32(zero, lanes, index, class_blocks, 4);
    kind = _mm512_srlv_epi32(kind,
                             _mm512_slli_epi32(_mm512_and_si512(point, _mm512_set1_epi32(15)), 1));
    low |= (uint64_t)_mm512_mask_test_epi32_mask(lanes, kind, _mm512_set1_epi32(1)) << i * 16;
    high |= (uint64_t)_mm512_mask_test_epi32_mask(lanes, kind, _mm512_set1_epi32(2)) << i * 16;
    if (joins) {
      const __m512i word = _mm512_mask_i32gather_epi32(
          zero, lanes,
          _mm512_or_si512(_mm512_slli_epi32(EK_QUARTER(ahead, i), 3), _mm512_srli_epi32(a, 5)),
          joins, 4);
      const __m512i bit =
          _mm512_sllv_epi32(_mm512_set1_epi32(1), _mm512_and_si512(a, _mm512_set1_epi32(31)));
      apart |= (uint64_t)_mm512_mask_testn_epi32_mask(lanes, word, bit) << i * 16;
    }
  }
#undef EK_QUARTER
  w->letters = spread(_pdep_u64(low & ~high, leads), threes);
  w->numbers = spread(_pdep_u64(high & ~low, leads), threes);
  const uint64_t spaces = _pdep_u64(low & high, leads);
  w->spaces = spread(spaces, threes);
  w->spaces2 = spread(spaces & twos, threes);
  w->spaces3 = spread(spaces & threes, threes);
  w->cuts = _pdep_u64(apart, leads) & (before ? ~(uint64_t)0 : ~(uint64_t)1);
  return true;
}

#endif
