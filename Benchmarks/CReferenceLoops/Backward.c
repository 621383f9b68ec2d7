// Bars for backward in C: the output gradient's rows copied once in the order of their ids to
// streaming stores, and added in batch order to the rows of a dense gradient.
// N tokens, D dim.

#include "CReferenceLoops.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static inline __attribute__((always_inline)) size_t rows_ahead(size_t dim) {
  const size_t most = (256 << 10) / (dim * sizeof(float));
  return most < 1 ? 1 : most > 12 ? 12 : most;
}

// MARK: Copy in sorted order

static void gather_plain(const crl_backward *work, size_t first, size_t last) {
  const size_t dim = work->dim, ahead = rows_ahead(dim);
  for (size_t i = first; i < last; i++) {
    const float *from = work->gradient + (size_t)work->order[i] * dim;
    const float *next =
        i + ahead < last ? work->gradient + (size_t)work->order[i + ahead] * dim : from;
    float *restrict to = work->output + i * dim;
    for (size_t d = 0; d < dim; d += 16) __builtin_prefetch(next + d, 0, 2);
    for (size_t d = 0; d < dim; d++) to[d] = from[d];
  }
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void gather_avx512(const crl_backward *work, size_t first,
                                                             size_t last) {
  const size_t dim = work->dim, ahead = rows_ahead(dim);
  for (size_t i = first; i < last; i++) {
    const float *from = work->gradient + (size_t)work->order[i] * dim;
    const float *next =
        i + ahead < last ? work->gradient + (size_t)work->order[i + ahead] * dim : from;
    float *to = work->output + i * dim;
    size_t d = 0;
    for (; d < dim && ((uintptr_t)(to + d) & 63) != 0; d++) to[d] = from[d];
    for (; d + 16 <= dim; d += 16) {
      __builtin_prefetch(next + d, 0, 2);
      _mm512_stream_ps(to + d, _mm512_loadu_ps(from + d));
    }
    for (; d < dim; d++) to[d] = from[d];
  }
  _mm_sfence();
}
#endif

void crl_gather_sorted(const crl_backward *work, size_t first, size_t last) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    gather_avx512(work, first, last);
    return;
  }
#endif
  gather_plain(work, first, last);
}

// MARK: Add in batch order

// The rows `first..<last` of the output, so that threads never share one.
static inline __attribute__((always_inline)) void index_add(const crl_backward *work, size_t first,
                                                            size_t last) {
  const size_t dim = work->dim, ahead = rows_ahead(dim);
  for (size_t n = 0; n < work->tokens; n++) {
    const size_t row = (size_t)work->ids[n];
    if (n + ahead < work->tokens) {
      const size_t next = (size_t)work->ids[n + ahead];
      if (next >= first && next < last)
        for (size_t d = 0; d < dim; d += 16) {
          __builtin_prefetch(work->output + next * dim + d, 1, 2);
          __builtin_prefetch(work->gradient + (n + ahead) * dim + d, 0, 2);
        }
    }
    if (row < first || row >= last) continue;
    const float *from = work->gradient + n * dim;
    float *restrict to = work->output + row * dim;
    for (size_t d = 0; d < dim; d++) to[d] += from[d];
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void index_add_avx2(const crl_backward *work, size_t first,
                                                           size_t last) {
  index_add(work, first, last);
}
#endif

void crl_index_add(const crl_backward *work, size_t first, size_t last) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    index_add_avx2(work, first, last);
    return;
  }
#endif
  index_add(work, first, last);
}
