// Two-byte elements to and from floats, 8 at a time, AVX2 and F16C. The includer defines EK_SET.
#ifndef EMBEDKERNEL_HALF_AVX2_H
#define EMBEDKERNEL_HALF_AVX2_H

EK_SET EK_INLINE __m256 widen(const char *from, ek_element type) {
  __m128i bits = _mm_loadu_si128((const __m128i *)from);
  if (type == EK_F16) return _mm256_cvtph_ps(bits);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

/// bfloat16 in the upper half of each lane; what is below is to be cut off.
EK_SET EK_INLINE __m256i rounded(__m256 value) {
  __m256i bits = _mm256_castps_si256(value);
  __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
  __m256 nan = _mm256_cmp_ps(value, value, _CMP_UNORD_Q);
  // Rare, so that a branch is cheaper than to blend always.
  if (__builtin_expect(_mm256_movemask_ps(nan) != 0, 0))
    up = _mm256_blendv_epi8(up, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)),
                            _mm256_castps_si256(nan));
  return up;
}

EK_SET EK_INLINE __m256i to_bf16(__m256 value) { return _mm256_srli_epi32(rounded(value), 16); }

#endif
