// Bars for backward in C: the output gradient's rows copied once in the order of their ids to
// streaming stores, and added to the rows of a dense gradient, in batch order and in that of their
// ids.
// N tokens, D dim.

#include "CReferenceLoops.h"
#include "prefetch.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// MARK: Copy in sorted order

static void gather_plain(const crl_backward *work, size_t first, size_t last) {
  const size_t dim = work->dim, ahead = crl_rows_ahead(dim, 12);
  const int near = crl_prefetch_near;
  for (size_t i = first; i < last; i++) {
    const float *from = work->gradient + (size_t)work->order[i] * dim;
    const float *next =
        i + ahead < last ? work->gradient + (size_t)work->order[i + ahead] * dim : from;
    float *restrict to = work->output + i * dim;
    for (size_t d = 0; d < dim; d += 16) CRL_PREFETCH(next + d, near);
    for (size_t d = 0; d < dim; d++) to[d] = from[d];
  }
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void gather_avx512(const crl_backward *work, size_t first,
                                                             size_t last) {
  const size_t dim = work->dim, ahead = crl_rows_ahead(dim, 12);
  const int near = crl_prefetch_near;
  for (size_t i = first; i < last; i++) {
    const float *from = work->gradient + (size_t)work->order[i] * dim;
    const float *next =
        i + ahead < last ? work->gradient + (size_t)work->order[i + ahead] * dim : from;
    float *to = work->output + i * dim;
    size_t d = 0;
    for (; d < dim && ((uintptr_t)(to + d) & 63) != 0; d++) to[d] = from[d];
    for (; d + 16 <= dim; d += 16) {
      CRL_PREFETCH(next + d, near);
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
  const size_t dim = work->dim, ahead = crl_rows_ahead(dim, 12);
  const int near = crl_prefetch_near;
  for (size_t n = 0; n < work->tokens; n++) {
    const size_t row = (size_t)work->ids[n];
    if (n + ahead < work->tokens) {
      const size_t next = (size_t)work->ids[n + ahead];
      if (next >= first && next < last)
        for (size_t d = 0; d < dim; d += 16) {
          CRL_PREFETCH(work->output + next * dim + d, near);
          CRL_PREFETCH(work->gradient + (n + ahead) * dim + d, near);
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

// MARK: Add in sorted order

static inline __attribute__((always_inline)) void sorted_add(const crl_backward *work, size_t first,
                                                             size_t last) {
  const size_t dim = work->dim, ahead = crl_rows_ahead(dim, 2);
  const int near = crl_prefetch_near;
  for (size_t i = first; i < last; i++) {
    const size_t token = (size_t)work->order[i];
    const size_t soon = (size_t)work->order[i + ahead < last ? i + ahead : i];
    const float *from = work->gradient + token * dim, *next = work->gradient + soon * dim;
    float *restrict to = work->output + (size_t)work->ids[token] * dim;
    const float *target = work->output + (size_t)work->ids[soon] * dim;
    size_t d = 0;
    for (; d + 64 <= dim; d += 64) {
      for (size_t k = d; k < d + 64; k += 16) {
        CRL_PREFETCH(target + k, near);
        CRL_PREFETCH(next + k, near);
      }
      for (size_t k = d; k < d + 64; k++) to[k] += from[k];
    }
    for (; d < dim; d++) to[d] += from[d];
  }
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void sorted_add_avx512(const crl_backward *work,
                                                                 size_t first, size_t last) {
  sorted_add(work, first, last);
}

__attribute__((target("avx2"))) static void sorted_add_avx2(const crl_backward *work, size_t first,
                                                            size_t last) {
  sorted_add(work, first, last);
}
#endif

void crl_sorted_add(const crl_backward *work, size_t first, size_t last) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    sorted_add_avx512(work, first, last);
    return;
  }
  if (__builtin_cpu_supports("avx2")) {
    sorted_add_avx2(work, first, last);
    return;
  }
#endif
  sorted_add(work, first, last);
}
