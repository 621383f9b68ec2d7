// Rotation of pairs of two-byte elements, AVX-512F: 16 pairs a step.
#include "rotate.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define EK_SET __attribute__((target("avx512f")))
#define EK_NAME(x) x##_avx512
#define EK_STEP 16
#define EK_FENCE() _mm_sfence()

#include "half_avx512.h"

typedef __m512 lane;
typedef struct pairs {
  lane a, b;
} pairs;

EK_SET EK_INLINE lane lane_of(const float *from) { return _mm512_loadu_ps(from); }

EK_SET EK_INLINE lane lane_flip(lane v, uint32_t sign) {
  return _mm512_castsi512_ps(
      _mm512_xor_si512(_mm512_castps_si512(v), _mm512_set1_epi32((int)sign)));
}

EK_SET EK_INLINE lane lane_mul(lane v, lane w) {
#pragma STDC FP_CONTRACT OFF
  return _mm512_mul_ps(v, w);
}

EK_SET EK_INLINE lane lane_add(lane v, lane w) {
#pragma STDC FP_CONTRACT OFF
  return _mm512_add_ps(v, w);
}

EK_SET EK_INLINE lane lane_sub(lane v, lane w) {
#pragma STDC FP_CONTRACT OFF
  return _mm512_sub_ps(v, w);
}

EK_SET EK_INLINE void narrow_to(char *to, lane v, ek_element type, bool stream) {
  const __m256i bits = narrow(v, type);
  if (stream)
    _mm256_stream_si256((__m256i *)to, bits);
  else
    _mm256_storeu_si256((__m256i *)to, bits);
}

/// A pair is 32 bits: its first element the lower half, its second the upper.
EK_SET EK_INLINE pairs pairs_load(const char *from, ek_element type) {
  const __m512i bits = _mm512_loadu_si512(from);
  if (type == EK_F16)
    return (pairs){_mm512_cvtph_ps(_mm512_cvtepi32_epi16(bits)),
                   _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)))};
  return (pairs){
      _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)),
      _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32((int)0xFFFF0000)))};
}

EK_SET EK_INLINE void pairs_store(char *to, pairs p, ek_element type, bool stream) {
  __m512i bits;
  if (type == EK_F16)
    bits = _mm512_or_si512(
        _mm512_cvtepu16_epi32(narrow(p.a, type)),
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow(p.b, type)), 16));
  else
    // b where the mask has bits, a elsewhere.
    bits = _mm512_ternarylogic_epi32(_mm512_set1_epi32((int)0xFFFF0000), rounded(p.b),
                                     _mm512_srli_epi32(rounded(p.a), 16), 0xCA);
  if (stream)
    _mm512_stream_si512((__m512i *)to, bits);
  else
    _mm512_storeu_si512(to, bits);
}

#include "rotate_half.h"
#endif
