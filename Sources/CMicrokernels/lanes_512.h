// 32 floats in two vectors, whatever rounds them in the end. The includer defines EK_SET.
#ifndef EMBEDKERNEL_LANES_512_H
#define EMBEDKERNEL_LANES_512_H

typedef struct lanes {
  __m512 a, b;
} lanes;

/// The even elements of 32 of bfloat16, then the odd ones.
EK_SET EK_INLINE lanes lanes_load_split(const char *from) {
  __m512i bits = _mm512_loadu_si512(from);
  return (lanes){_mm512_castsi512_ps(_mm512_slli_epi32(bits, 16)),
                 _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32((int)0xFFFF0000)))};
}

EK_SET EK_INLINE lanes lanes_load_floats(const char *from) {
  return (lanes){_mm512_loadu_ps(from), _mm512_loadu_ps(from + 64)};
}

EK_SET EK_INLINE lanes lanes_scale(lanes v, float scale) {
  __m512 s = _mm512_set1_ps(scale);
  return (lanes){_mm512_mul_ps(v.a, s), _mm512_mul_ps(v.b, s)};
}

EK_SET EK_INLINE lanes lanes_add(lanes v, lanes w) {
  return (lanes){_mm512_add_ps(v.a, w.a), _mm512_add_ps(v.b, w.b)};
}

#endif
