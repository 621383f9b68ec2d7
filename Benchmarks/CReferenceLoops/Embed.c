// Gather-and-add in C. B batch, T context, D dim.
// Small outputs: a plain loop in memory order; the hardware's own prefetch keeps up with them.
// Large outputs: bound by the wait for random token rows, so these are prefetched many rows ahead
// into the second-level cache (into the first-level cache measured slower), and by the write,
// which streams past the caches. Position outermost, so that its row stays in the cache.

#include "CReferenceLoops.h"
#include "prefetch.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// MARK: Plain

static inline __attribute__((always_inline)) void plain(const crl_embedding *work) {
  const size_t dim = work->dim;
  const int32_t *id = work->ids;
  float *restrict output = work->output;
  for (size_t b = 0; b < work->batch; b++) {
    const float *position = work->positions;
    for (size_t t = 0; t < work->context; t++) {
      const float *token = work->tokens + (size_t)*id++ * dim;
      for (size_t d = 0; d < dim; d++) {
        output[d] = token[d] + position[d];
      }
      output += dim;
      position += dim;
    }
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void plain_avx2(const crl_embedding *work) { plain(work); }
#endif

void crl_embed_plain(const crl_embedding *work) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    plain_avx2(work);
    return;
  }
#endif
  plain(work);
}

// MARK: Streaming

// The token row at position `t` of sample `b`.
static inline __attribute__((always_inline)) const float *token_row(const crl_embedding *work,
                                                                    size_t t, size_t b) {
  return work->tokens + (size_t)work->ids[b * work->context + t] * work->dim;
}

static void prefetching(const crl_embedding *work, size_t first, size_t last) {
  const size_t dim = work->dim, ahead = crl_rows_ahead(dim, 12);
  const int near = crl_prefetch_near;
  size_t next_t = first + ahead / work->batch, next_b = ahead % work->batch;
  for (size_t t = first; t < last; t++) {
    const float *position = work->positions + t * dim;
    for (size_t b = 0; b < work->batch; b++) {
      const float *token = token_row(work, t, b);
      float *restrict output = work->output + (b * work->context + t) * dim;
      if (next_t < last) {
        const float *next = token_row(work, next_t, next_b);
        for (size_t d = 0; d < dim; d += 16) {
          CRL_PREFETCH(next + d, near);
        }
      }
      for (size_t d = 0; d < dim; d++) {
        output[d] = token[d] + position[d];
      }
      if (++next_b == work->batch) {
        next_b = 0;
        next_t++;
      }
    }
  }
}

#if defined(__x86_64__)
// One row, prefetching the row at `next` line by line in between. The vector loop starts where
// the output is aligned to 64 bytes, as non-temporal stores demand.
__attribute__((target("avx512f"))) static inline void row_avx512(float *output, const float *token,
                                                                 const float *position,
                                                                 const float *next, size_t dim,
                                                                 int near) {
  size_t d = 0;
  while (d < dim && ((uintptr_t)(output + d) & 63) != 0) {
    output[d] = token[d] + position[d];
    d++;
  }
  for (; d + 32 <= dim; d += 32) {
    CRL_PREFETCH(next + d, near);
    CRL_PREFETCH(next + d + 16, near);
    const __m512 low = _mm512_add_ps(_mm512_loadu_ps(token + d), _mm512_loadu_ps(position + d));
    const __m512 high =
        _mm512_add_ps(_mm512_loadu_ps(token + d + 16), _mm512_loadu_ps(position + d + 16));
    _mm512_stream_ps(output + d, low);
    _mm512_stream_ps(output + d + 16, high);
  }
  for (; d < dim; d++) {
    output[d] = token[d] + position[d];
  }
}

__attribute__((target("avx512f"))) static void streaming_avx512(const crl_embedding *work,
                                                                size_t first, size_t last) {
  const size_t dim = work->dim, ahead = crl_rows_ahead(dim, 12);
  const int near = crl_prefetch_near;
  size_t next_t = first + ahead / work->batch, next_b = ahead % work->batch;
  for (size_t t = first; t < last; t++) {
    const float *position = work->positions + t * dim;
    for (size_t b = 0; b < work->batch; b++) {
      const float *token = token_row(work, t, b);
      float *output = work->output + (b * work->context + t) * dim;
      // Past the end the row itself is named: already here, so it costs nothing.
      const float *next = next_t < last ? token_row(work, next_t, next_b) : token;
      row_avx512(output, token, position, next, dim, near);
      if (++next_b == work->batch) {
        next_b = 0;
        next_t++;
      }
    }
  }
  _mm_sfence();
}
#endif

void crl_embed_streaming(const crl_embedding *work, size_t first, size_t last) {
  if (work->batch == 0 || work->dim == 0) {
    return;
  }
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    streaming_avx512(work, first, last);
    return;
  }
#endif
  prefetching(work, first, last);
}
