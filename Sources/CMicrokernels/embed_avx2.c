// Gather and add, AVX2: 8 floats a step, streaming stores of half lines, scalar tails.
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

AVX2 EK_INLINE void scalars(const float *token, const float *position, float *out, size_t from,
                            size_t to, float scale, bool scaled, bool positioned) {
#pragma STDC FP_CONTRACT OFF
  for (size_t i = from; i < to; i++) {
    float value = scaled ? token[i] * scale : token[i];
    out[i] = positioned ? value + position[i] : value;
  }
}

AVX2 EK_INLINE void row(const float *token, const float *position, const float *soon, float *out,
                        size_t dim, float scale_value, bool scaled, bool positioned,
                        bool streaming) {
  __m256 scale = _mm256_set1_ps(scale_value), none = _mm256_setzero_ps();
  size_t i = 0;
  if (streaming) {
    size_t head = (-(uintptr_t)out % 32) / sizeof(float);
    i = head < dim ? head : dim;
    scalars(token, position, out, 0, i, scale_value, scaled, positioned);
  }
  for (; i + 32 <= dim; i += 32) {
    if (soon) {
      _mm_prefetch((const char *)(soon + i), _MM_HINT_T1);
      _mm_prefetch((const char *)(soon + i + 16), _MM_HINT_T1);
    }
    for (size_t k = 0; k < 32; k += 8) {
      __m256 p = positioned ? _mm256_loadu_ps(position + i + k) : none;
      __m256 v = combine(_mm256_loadu_ps(token + i + k), p, scale, scaled, positioned);
      if (streaming)
        _mm256_stream_ps(out + i + k, v);
      else
        _mm256_storeu_ps(out + i + k, v);
    }
  }
  if (soon && i < dim) {
    _mm_prefetch((const char *)(soon + i), _MM_HINT_T1);
    _mm_prefetch((const char *)(soon + dim - 1), _MM_HINT_T1);
  }
  for (; i + 8 <= dim; i += 8) {
    __m256 p = positioned ? _mm256_loadu_ps(position + i) : none;
    _mm256_storeu_ps(out + i, combine(_mm256_loadu_ps(token + i), p, scale, scaled, positioned));
  }
  scalars(token, position, out, i, dim, scale_value, scaled, positioned);
}

AVX2 void ek_embed_f32_avx2(const ek_embed_tile *tile) {
  EK_EMBED(tile, row);
  if (tile->streaming) _mm_sfence();
}
#endif
