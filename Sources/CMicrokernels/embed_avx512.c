// Gather and add, AVX-512: 16 floats a step, masked tails, streaming stores of whole lines.
//
// Bytes a row: D*4 read from the token table, D*4 from a cached position row, D*4 written.
#include "tile.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f")))

/// Scale and add, each rounded on its own: a fused multiply-add would change the bits.
AVX512 EK_INLINE __m512 combine(__m512 token, __m512 position, __m512 scale, bool scaled,
                                bool positioned) {
#pragma STDC FP_CONTRACT OFF
  if (scaled) token = _mm512_mul_ps(token, scale);
  return positioned ? _mm512_add_ps(token, position) : token;
}

AVX512 EK_INLINE void masked(const float *token, const float *position, float *out, size_t count,
                             __m512 scale, bool scaled, bool positioned) {
  __mmask16 mask = (__mmask16)((1u << count) - 1);
  __m512 p = positioned ? _mm512_maskz_loadu_ps(mask, position) : _mm512_setzero_ps();
  _mm512_mask_storeu_ps(
      out, mask, combine(_mm512_maskz_loadu_ps(mask, token), p, scale, scaled, positioned));
}

AVX512 EK_INLINE void row(const float *token, const float *position, const float *soon, float *out,
                          size_t dim, float scale_value, bool scaled, bool positioned, ek_traffic traffic) {
  __m512 scale = _mm512_set1_ps(scale_value), none = _mm512_setzero_ps();
  size_t i = 0;
  if (traffic == EK_STREAMED) {
    // A streaming store takes a whole line, so the row's ragged start goes through the cache.
    size_t head = (-(uintptr_t)out % 64) / sizeof(float);
    if (head) {
      i = head < dim ? head : dim;
      masked(token, position, out, i, scale, scaled, positioned);
    }
  }
  for (size_t end = i + ((dim - i) & ~(size_t)63); i < end; i += 64) {
    for (size_t k = 0; k < 64; k += 16) {
      // Into L2, not L1: a row to come would push the rows in use out of L1.
      if (traffic != EK_CACHED) _mm_prefetch((const char *)(soon + i + k), _MM_HINT_T1);
      __m512 p = positioned ? _mm512_loadu_ps(position + i + k) : none;
      __m512 v = combine(_mm512_loadu_ps(token + i + k), p, scale, scaled, positioned);
      if (traffic == EK_STREAMED)
        _mm512_stream_ps(out + i + k, v);
      else
        _mm512_storeu_ps(out + i + k, v);
    }
  }
  for (size_t end = i + ((dim - i) & ~(size_t)15); i < end; i += 16) {
    if (traffic != EK_CACHED) _mm_prefetch((const char *)(soon + i), _MM_HINT_T1);
    __m512 p = positioned ? _mm512_loadu_ps(position + i) : none;
    __m512 v = combine(_mm512_loadu_ps(token + i), p, scale, scaled, positioned);
    if (traffic == EK_STREAMED)
      _mm512_stream_ps(out + i, v);
    else
      _mm512_storeu_ps(out + i, v);
  }
  if (i < dim) {
    if (traffic != EK_CACHED) _mm_prefetch((const char *)(soon + i), _MM_HINT_T1);
    masked(token + i, positioned ? position + i : NULL, out + i, dim - i, scale, scaled,
           positioned);
  }
}

AVX512 void ek_embed_f32_avx512(const ek_embed_tile *tile) {
  EK_EMBED(tile, row);
  if (tile->streaming) _mm_sfence();
}
#endif
