// Rotation of pairs, AVX-512: 16 pairs a step, masked tails, streaming stores of whole lines.
//
// Bytes a row: D*4 read, D*4 written; the row of cosines and sines comes from cache.
#include "rotate.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f")))

AVX512 EK_INLINE __m512 flip(__m512 value, __m512i sign) {
  return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(value), sign));
}

AVX512 EK_INLINE void store(float *y, __m512 value, bool streaming) {
  if (streaming)
    _mm512_stream_ps(y, value);
  else
    _mm512_storeu_ps(y, value);
}

/// x*c + partner*s, each rounded on its own: a fused multiply-add would change the bits.
AVX512 EK_INLINE __m512 turn(__m512 x, __m512 c, __m512 partner, __m512 s) {
#pragma STDC FP_CONTRACT OFF
  __m512 along = _mm512_mul_ps(x, c);
  __m512 across = _mm512_mul_ps(partner, s);
  return _mm512_add_ps(along, across);
}

AVX512 EK_INLINE void halves(const float *x, float *y, const float *cosines, const float *sines,
                             const ek_rotation *r, bool streaming) {
  const __m512i inverse = _mm512_set1_epi32((int)r->sign);
  const __m512i opposite = _mm512_set1_epi32((int)(r->sign ^ 0x80000000u));
  const float *x2 = x + r->partner;
  float *y2 = y + r->partner;
  size_t i = 0;
  for (; i + 16 <= r->pairs; i += 16) {
    __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x2 + i);
    __m512 c = _mm512_loadu_ps(cosines + i), s = _mm512_loadu_ps(sines + i);
    store(y + i, turn(a, c, b, flip(s, opposite)), streaming);
    store(y2 + i, turn(b, c, a, flip(s, inverse)), streaming);
  }
  if (i < r->pairs) {
    __mmask16 mask = (__mmask16)((1u << (r->pairs - i)) - 1);
    __m512 a = _mm512_maskz_loadu_ps(mask, x + i), b = _mm512_maskz_loadu_ps(mask, x2 + i);
    __m512 c = _mm512_maskz_loadu_ps(mask, cosines + i);
    __m512 s = _mm512_maskz_loadu_ps(mask, sines + i);
    _mm512_mask_storeu_ps(y + i, mask, turn(a, c, b, flip(s, opposite)));
    _mm512_mask_storeu_ps(y2 + i, mask, turn(b, c, a, flip(s, inverse)));
  }
}

AVX512 EK_INLINE void neighbours(const float *x, float *y, const float *cosines,
                                 const float *sines, const ek_rotation *r, bool streaming) {
  const __m512i low = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  // The first of a pair takes its partner with the opposite sign.
  const __m512i sign = _mm512_xor_si512(_mm512_set1_epi32((int)r->sign),
                                        _mm512_set1_epi64(0x80000000));
  size_t i = 0;
  for (; i + 16 <= r->pairs; i += 16) {
    __m512 c = _mm512_loadu_ps(cosines + i), s = _mm512_loadu_ps(sines + i);
    __m512 a = _mm512_loadu_ps(x + 2 * i), b = _mm512_loadu_ps(x + 2 * i + 16);
    store(y + 2 * i,
          turn(a, _mm512_permutexvar_ps(low, c), _mm512_permute_ps(a, 0xB1),
               flip(_mm512_permutexvar_ps(low, s), sign)),
          streaming);
    store(y + 2 * i + 16,
          turn(b, _mm512_permutexvar_ps(high, c), _mm512_permute_ps(b, 0xB1),
               flip(_mm512_permutexvar_ps(high, s), sign)),
          streaming);
  }
  for (; i < r->pairs; i += 8) {
    size_t count = r->pairs - i < 8 ? r->pairs - i : 8;
    __mmask16 mask = (__mmask16)((1u << count) - 1), both = (__mmask16)((1u << 2 * count) - 1);
    __m512 c = _mm512_maskz_loadu_ps(mask, cosines + i);
    __m512 s = _mm512_maskz_loadu_ps(mask, sines + i);
    __m512 a = _mm512_maskz_loadu_ps(both, x + 2 * i);
    _mm512_mask_storeu_ps(y + 2 * i, both,
                          turn(a, _mm512_permutexvar_ps(low, c), _mm512_permute_ps(a, 0xB1),
                               flip(_mm512_permutexvar_ps(low, s), sign)));
  }
}

AVX512 void ek_rotate_f32_avx512(const ek_rotary_tile *tile) {
  EK_ROTATE(tile, float, halves, neighbours);
  if (tile->streaming) _mm_sfence();
}
#endif
