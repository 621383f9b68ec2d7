// Vectors of elements of any type, widened to floats and rounded from them, AVX-512F: 32 elements a
// step, streaming stores of whole lines.
#ifndef EMBEDKERNEL_LANES_AVX512_H
#define EMBEDKERNEL_LANES_AVX512_H

#include "tile.h"

#include <immintrin.h>

#define EK_SET __attribute__((target("avx512f")))
#define EK_NAME(x) x##_avx512
#define EK_STEP 32
#define EK_LINE 64
#define EK_FENCE() _mm_sfence()

#include "half_avx512.h"
#include "lanes_512.h"

EK_SET EK_INLINE lanes lanes_load(const char *from, ek_element type, bool split) {
  if (split) return lanes_load_split(from);
  if (type == EK_F32) return lanes_load_floats(from);
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

#endif
