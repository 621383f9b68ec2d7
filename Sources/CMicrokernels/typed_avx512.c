// Two-byte elements, AVX-512F: 32 elements a step, streaming stores of whole lines.
//
// AVX512_BF16's conversion is not used: it takes subnormal numbers for zeros.
#include "tile.h"

#if defined(__x86_64__)
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

EK_SET EK_INLINE __m256i narrow(__m512 value, ek_element type) {
  if (type == EK_F16) return _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT);
  __m512i bits = _mm512_castps_si512(value), upper = _mm512_srli_epi32(bits, 16);
  __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
  __m512i up = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
  __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, up), 16);
  __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(
      _mm512_mask_or_epi32(rounded, nan, upper, _mm512_set1_epi32(0x40)));
}

EK_SET EK_INLINE lanes lanes_load(const char *from, ek_element type) {
  if (type == EK_F32)
    return (lanes){_mm512_loadu_ps(from), _mm512_loadu_ps(from + 64)};
  return (lanes){widen(from, type), widen(from + 32, type)};
}

EK_SET EK_INLINE void lanes_store(char *to, lanes v, ek_element type, bool stream) {
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
  __m512i low = _mm512_castsi256_si512(narrow(v.a, type));
  __m512i bits = _mm512_inserti64x4(low, narrow(v.b, type), 1);
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

#include "typed.h"
#endif
