// Gather and add, AVX2: 8 floats a step, streaming stores of half lines, masked tails.
//
// Bytes a row: D*4 read from the token table, D*4 from a cached position row, D*4 written.
#include "tile.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

AVX2 EK_INLINE __m256 combine(__m256 token, __m256 position, __m256 scale, bool scaled,
                              bool positioned) {
#pragma STDC FP_CONTRACT OFF
  if (scaled) token = _mm256_mul_ps(token, scale);
  return positioned ? _mm256_add_ps(token, position) : token;
}

/// The same for the first `count` < 8 floats.
AVX2 EK_INLINE void masked(const float *token, const float *position, float *out, size_t count,
                           __m256 scale, bool scaled, bool positioned) {
  __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), lanes);
  __m256 p = positioned ? _mm256_maskload_ps(position, mask) : _mm256_setzero_ps();
  _mm256_maskstore_ps(out, mask,
                      combine(_mm256_maskload_ps(token, mask), p, scale, scaled, positioned));
}

AVX2 EK_INLINE void row(const float *token, const float *position, const float *soon, float *out,
                        size_t dim, float scale_value, bool scaled, bool positioned, ek_traffic traffic) {
  __m256 scale = _mm256_set1_ps(scale_value), none = _mm256_setzero_ps();
  size_t i = 0;
  if (traffic == EK_STREAMED) {
    size_t head = (-(uintptr_t)out % 32) / sizeof(float);
    if (head) {
      i = head < dim ? head : dim;
      masked(token, position, out, i, scale, scaled, positioned);
    }
  }
  for (size_t end = i + ((dim - i) & ~(size_t)63); i < end; i += 64) {
    if (traffic != EK_CACHED)
      for (size_t k = 0; k < 64; k += 16)
        _mm_prefetch((const char *)(soon + i + k), _MM_HINT_T1);
    for (size_t k = 0; k < 64; k += 8) {
      __m256 p = positioned ? _mm256_loadu_ps(position + i + k) : none;
      __m256 v = combine(_mm256_loadu_ps(token + i + k), p, scale, scaled, positioned);
      if (traffic == EK_STREAMED)
        _mm256_stream_ps(out + i + k, v);
      else
        _mm256_storeu_ps(out + i + k, v);
    }
  }
  if (traffic != EK_CACHED)
    for (size_t k = i; k < dim; k += 16) _mm_prefetch((const char *)(soon + k), _MM_HINT_T1);
  for (size_t end = i + ((dim - i) & ~(size_t)7); i < end; i += 8) {
    __m256 p = positioned ? _mm256_loadu_ps(position + i) : none;
    _mm256_storeu_ps(out + i, combine(_mm256_loadu_ps(token + i), p, scale, scaled, positioned));
  }
  if (i < dim)
    masked(token + i, positioned ? position + i : NULL, out + i, dim - i, scale, scaled,
           positioned);
}

AVX2 void ek_embed_f32_avx2(const ek_embed_tile *tile) {
  EK_EMBED(tile, row);
  if (tile->streaming) _mm_sfence();
}
#endif
