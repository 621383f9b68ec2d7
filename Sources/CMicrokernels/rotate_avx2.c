// Rotation of pairs, AVX2: 8 pairs a step, tails in plain C, streaming stores where aligned.
//
// Bytes a row: D*4 read, D*4 written; the row of cosines and sines comes from cache.
#include "rotate.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

AVX2 EK_INLINE void store(float *y, __m256 value, bool streaming) {
  if (streaming)
    _mm256_stream_ps(y, value);
  else
    _mm256_storeu_ps(y, value);
}

/// x*c + partner*s, each rounded on its own.
AVX2 EK_INLINE __m256 turn(__m256 x, __m256 c, __m256 partner, __m256 s) {
#pragma STDC FP_CONTRACT OFF
  __m256 along = _mm256_mul_ps(x, c);
  __m256 across = _mm256_mul_ps(partner, s);
  return _mm256_add_ps(along, across);
}

AVX2 EK_INLINE __m256 sign_bits(uint32_t sign) {
  return _mm256_castsi256_ps(_mm256_set1_epi32((int)sign));
}

AVX2 EK_INLINE void halves(const float *x, float *y, const float *cosines, const float *sines,
                           const ek_rotation *r, bool streaming) {
  const __m256 inverse = sign_bits(r->sign), opposite = sign_bits(r->sign ^ 0x80000000u);
  const float *x2 = x + r->partner;
  float *y2 = y + r->partner;
  size_t i = 0;
  for (; i + 8 <= r->pairs; i += 8) {
    __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x2 + i);
    __m256 c = _mm256_loadu_ps(cosines + i), s = _mm256_loadu_ps(sines + i);
    store(y + i, turn(a, c, b, _mm256_xor_ps(s, opposite)), streaming);
    store(y2 + i, turn(b, c, a, _mm256_xor_ps(s, inverse)), streaming);
  }
  ek_rotate_halves(x, y, cosines, sines, r, i);
}

AVX2 EK_INLINE void neighbours(const float *x, float *y, const float *cosines, const float *sines,
                               const ek_rotation *r, bool streaming) {
  const __m256i low = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
  const __m256i high = _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7);
  // The first of a pair takes its partner with the opposite sign.
  const __m256 sign =
      _mm256_xor_ps(sign_bits(r->sign), _mm256_castsi256_ps(_mm256_set1_epi64x(0x80000000)));
  size_t i = 0;
  for (; i + 8 <= r->pairs; i += 8) {
    __m256 c = _mm256_loadu_ps(cosines + i), s = _mm256_loadu_ps(sines + i);
    __m256 a = _mm256_loadu_ps(x + 2 * i), b = _mm256_loadu_ps(x + 2 * i + 8);
    store(y + 2 * i,
          turn(a, _mm256_permutevar8x32_ps(c, low), _mm256_permute_ps(a, 0xB1),
               _mm256_xor_ps(_mm256_permutevar8x32_ps(s, low), sign)),
          streaming);
    store(y + 2 * i + 8,
          turn(b, _mm256_permutevar8x32_ps(c, high), _mm256_permute_ps(b, 0xB1),
               _mm256_xor_ps(_mm256_permutevar8x32_ps(s, high), sign)),
          streaming);
  }
  ek_rotate_neighbours(x, y, cosines, sines, r, i);
}

AVX2 void ek_rotate_f32_avx2(const ek_rotary_tile *tile) {
  EK_ROTATE(tile, float, halves, neighbours);
  if (tile->streaming) _mm_sfence();
}
#endif
