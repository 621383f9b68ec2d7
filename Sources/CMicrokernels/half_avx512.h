// Two-byte elements to and from floats, 16 at a time, AVX-512F. The includer defines EK_SET.
//
// AVX512_BF16's conversion is not used: it takes subnormal numbers for zeros.
#ifndef EMBEDKERNEL_HALF_AVX512_H
#define EMBEDKERNEL_HALF_AVX512_H

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

#endif
