// Vectors of elements of any type, widened to floats and rounded from them, AVX-512F: 32 elements a
// step, streaming stores of whole lines.
//
// AVX512_BF16's conversion is not used: it takes subnormal numbers for zeros.
#ifndef EMBEDKERNEL_LANES_AVX512_H
#define EMBEDKERNEL_LANES_AVX512_H

#include "tile.h"

#include <immintrin.h>

#define EK_SET __attribute__((target("avx512f")))
#define EK_NAME(x) x##_avx512
#define EK_STEP 32
#define EK_LINE 64
#define EK_FENCE() _mm_sfence()

typedef struct lanes {
  __m512 a, b;
} lanes;

EK_SET EK_INLINE __m512 widen(const char *from, ek_element type) {
  __m256i bits = _mm256_loadu_si256((const __m256i *)from);
  if (type == EK_F16) return _mm512_cvtph_ps(bits);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/// bfloat16 in the upper half of each lane; what is below is to be cut off.
EK_SET EK_INLINE __m512i rounded(__m512 value) {
  __m512i bits = _mm512_castps_si512(value);
  __m512i up = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF));
  __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  up = _mm512_mask_sub_epi32(up, odd, up, _mm512_set1_epi32(-1));
  __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  // Rare, so that a branch is cheaper than to blend always.
  if (__builtin_expect(nan != 0, 0))
    up = _mm512_mask_or_epi32(up, nan, bits, _mm512_set1_epi32(0x400000));
  return up;
}

EK_SET EK_INLINE __m256i narrow(__m512 value, ek_element type) {
  if (type == EK_F16) return _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded(value), 16));
}

EK_SET EK_INLINE lanes lanes_load(const char *from, ek_element type, bool split) {
  if (split) {
    __m512i bits = _mm512_loadu_si512(from);
    return (lanes){
        _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)),
        _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32((int)0xFFFF0000)))};
  }
  if (type == EK_F32)
    return (lanes){_mm512_loadu_ps(from), _mm512_loadu_ps(from + 64)};
  return (lanes){widen(from, type), widen(from + 32, type)};
}

EK_SET EK_INLINE void lanes_store(char *to, lanes v, ek_element type, bool stream,
                                  bool split) {
  if (type == EK_F32) {
    if (stream) {
      _mm512_stream_ps(to, v.a);
      _mm512_stream_ps(to + 64, v.b);
    } else {
      _mm512_storeu_ps(to, v.a);
      _mm512_storeu_ps(to + 64, v.b);
    }
    return;
  }
  __m512i bits;
  if (split) {
    // The upper halves of the odd lanes over those of the even ones, moved down: a where the mask
    // has bits, b elsewhere.
    bits = _mm512_ternarylogic_epi32(_mm512_set1_epi32((int)0xFFFF0000), rounded(v.b),
                                     _mm512_srli_epi32(rounded(v.a), 16), 0xCA);
  } else {
    __m512i low = _mm512_castsi256_si512(narrow(v.a, type));
    bits = _mm512_inserti64x4(low, narrow(v.b, type), 1);
  }
  if (stream)
    _mm512_stream_si512((__m512i *)to, bits);
  else
    _mm512_storeu_si512(to, bits);
}

EK_SET EK_INLINE lanes lanes_scale(lanes v, float scale) {
  __m512 s = _mm512_set1_ps(scale);
  return (lanes){_mm512_mul_ps(v.a, s), _mm512_mul_ps(v.b, s)};
}

EK_SET EK_INLINE lanes lanes_add(lanes v, lanes w) {
  return (lanes){_mm512_add_ps(v.a, w.a), _mm512_add_ps(v.b, w.b)};
}

#endif
