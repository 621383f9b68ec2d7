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
    const float *next = i + ahead < last ? work->gradient + (size_t)work->order[i + ahead] * dim : from;
    float *restrict to = work->output + i * dim;
    for (size_t d = 0; d < dim; d += 16) __builtin_prefetch(next + d, 0, 2);
    for (size_t d = 0; d < dim; d++) to[d] = from[d];
  }
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void gather_avx512(
    const crl_backward *work, size_t first, size_t last) {
  const size_t dim = work->dim, ahead = rows_ahead(dim);
  for (size_t i = first; i < last; i++) {
    const float *from = work->gradient + (size_t)work->order[i] * dim;
    const float *next = i + ahead < last ? work->gradient + (size_t)work->order[i + ahead] * dim : from;
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

// Columns `first..<last` of every row, so that threads never share an element.
static inline __attribute__((always_inline)) void index_add(
    const crl_backward *work, size_t first, size_t last) {
  const size_t dim = work->dim, ahead = rows_ahead(dim);
  for (size_t n = 0; n < work->tokens; n++) {
    const float *from = work->gradient + n * dim;
    float *restrict to = work->output + (size_t)work->ids[n] * dim;
    const size_t soon = n + ahead < work->tokens ? n + ahead : n;
    const float *next = work->output + (size_t)work->ids[soon] * dim;
    for (size_t d = first; d < last; d += 16) __builtin_prefetch(next + d, 1, 2);
    for (size_t d = first; d < last; d++) to[d] += from[d];
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void index_add_avx2(
    const crl_backward *work, size_t first, size_t last) {
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
