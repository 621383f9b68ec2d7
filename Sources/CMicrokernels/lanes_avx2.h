// Vectors of elements of any type, widened to floats and rounded from them, AVX2 and F16C: 16
// elements a step, streaming stores of half lines.
#ifndef EMBEDKERNEL_LANES_AVX2_H
#define EMBEDKERNEL_LANES_AVX2_H

#include "tile.h"

#include <immintrin.h>

#define EK_SET __attribute__((target("avx2,f16c")))
#define EK_NAME(x) x##_avx2
#define EK_STEP 16
#define EK_LINE 32
#define EK_FENCE() _mm_sfence()

#include "half_avx2.h"

typedef struct lanes {
  __m256 a, b;
} lanes;

EK_SET EK_INLINE lanes lanes_load(const char *from, ek_element type, bool split) {
  if (split) {
    __m256i bits = _mm256_loadu_si256((const __m256i *)from);
    return (lanes){
        _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16)),
        _mm256_castsi256_ps(_mm256_and_si256(bits, _mm256_set1_epi32((int)0xFFFF0000)))};
  }
  if (type == EK_F32)
    return (lanes){_mm256_loadu_ps((const float *)from), _mm256_loadu_ps((const float *)from + 8)};
  return (lanes){widen(from, type), widen(from + 16, type)};
}

EK_SET EK_INLINE void lanes_store(char *to, lanes v, ek_element type, bool stream,
                                  bool split) {
  if (type == EK_F32) {
    if (stream) {
      _mm256_stream_ps((float *)to, v.a);
      _mm256_stream_ps((float *)to + 8, v.b);
    } else {
      _mm256_storeu_ps((float *)to, v.a);
      _mm256_storeu_ps((float *)to + 8, v.b);
    }
    return;
  }
  __m256i bits;
  if (split)
    bits = _mm256_blend_epi16(to_bf16(v.a), rounded(v.b), 0xAA);
  else if (type == EK_F16)
    bits = _mm256_set_m128i(_mm256_cvtps_ph(v.b, 0), _mm256_cvtps_ph(v.a, 0));
  else
    // Packing works on 128-bit halves: put its four quarters in order.
    bits = _mm256_permute4x64_epi64(_mm256_packus_epi32(to_bf16(v.a), to_bf16(v.b)), 0xD8);
  if (stream)
    _mm256_stream_si256((__m256i *)to, bits);
  else
    _mm256_storeu_si256((__m256i *)to, bits);
}

EK_SET EK_INLINE lanes lanes_scale(lanes v, float scale) {
  __m256 s = _mm256_set1_ps(scale);
  return (lanes){_mm256_mul_ps(v.a, s), _mm256_mul_ps(v.b, s)};
}

EK_SET EK_INLINE lanes lanes_add(lanes v, lanes w) {
  return (lanes){_mm256_add_ps(v.a, w.a), _mm256_add_ps(v.b, w.b)};
}

#endif
