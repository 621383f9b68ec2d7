// Rotation of pairs of two-byte elements, AVX2 and F16C: 8 pairs a step.
#include "rotate.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define EK_SET __attribute__((target("avx2,f16c")))
#define EK_NAME(x) x##_avx2
#define EK_STEP 8
#define EK_FENCE() _mm_sfence()

#include "half_avx2.h"

typedef __m256 lane;
typedef struct pairs {
  lane a, b;
} pairs;

EK_SET EK_INLINE lane lane_of(const float *from) { return _mm256_loadu_ps(from); }

EK_SET EK_INLINE lane lane_flip(lane v, uint32_t sign) {
  return _mm256_xor_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32((int)sign)));
}

EK_SET EK_INLINE lane lane_mul(lane v, lane w) {
#pragma STDC FP_CONTRACT OFF
  return _mm256_mul_ps(v, w);
}

EK_SET EK_INLINE lane lane_add(lane v, lane w) {
#pragma STDC FP_CONTRACT OFF
  return _mm256_add_ps(v, w);
}

EK_SET EK_INLINE lane lane_sub(lane v, lane w) {
#pragma STDC FP_CONTRACT OFF
  return _mm256_sub_ps(v, w);
}

/// 16-bit numbers in 32-bit lanes, one after another.
EK_SET EK_INLINE __m128i packed(__m256i lanes) {
  return _mm_packus_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
}

EK_SET EK_INLINE void narrow_to(char *to, lane v, ek_element type, bool stream) {
  const __m128i bits = type == EK_F16 ? _mm256_cvtps_ph(v, 0) : packed(to_bf16(v));
  if (stream)
    _mm_stream_si128((__m128i *)to, bits);
  else
    _mm_storeu_si128((__m128i *)to, bits);
}

/// A pair is 32 bits: its first element the lower half, its second the upper.
EK_SET EK_INLINE pairs pairs_load(const char *from, ek_element type) {
  const __m256i bits = _mm256_loadu_si256((const __m256i *)from);
  const __m256i low = _mm256_and_si256(bits, _mm256_set1_epi32(0xFFFF));
  if (type == EK_F16)
    return (pairs){_mm256_cvtph_ps(packed(low)),
                   _mm256_cvtph_ps(packed(_mm256_srli_epi32(bits, 16)))};
  return (pairs){
      _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)),
      _mm256_castsi256_ps(_mm256_and_si256(bits, _mm256_set1_epi32((int)0xFFFF0000)))};
}

EK_SET EK_INLINE void pairs_store(char *to, pairs p, ek_element type, bool stream) {
  __m256i bits;
  if (type == EK_F16) {
    const __m128i a = _mm256_cvtps_ph(p.a, 0), b = _mm256_cvtps_ph(p.b, 0);
    bits = _mm256_set_m128i(_mm_unpackhi_epi16(a, b), _mm_unpacklo_epi16(a, b));
  } else {
    bits = _mm256_blend_epi16(to_bf16(p.a), rounded(p.b), 0xAA);
  }
  if (stream)
    _mm256_stream_si256((__m256i *)to, bits);
  else
    _mm256_storeu_si256((__m256i *)to, bits);
}

#include "rotate_half.h"
#endif
