// Bars for optimiser steps in C: the output gradient's rows of each table row summed in batch
// order, and the row stepped at once, by SGD or by Adam without its corrections. R table rows, D
// dim. The groups are given, so their cost is not in the bar.

#include "CReferenceLoops.h"
#include "prefetch.h"

#include <math.h>

#define INLINE static inline __attribute__((always_inline))

// The gradient of row r: in place where one token has it, else summed in `sum`.
INLINE const float *gradient_of(const crl_step *work, size_t r, float *restrict sum) {
  const int32_t *token = work->tokens + work->offsets[r];
  const size_t count = (size_t)(work->offsets[r + 1] - work->offsets[r]), dim = work->dim;
  const float *first = work->gradient + (size_t)token[0] * dim;
  if (count == 1) return first;
  for (size_t d = 0; d < dim; d++) sum[d] = first[d];
  for (size_t n = 1; n < count; n++) {
    const float *next = work->gradient + (size_t)token[n] * dim;
    for (size_t d = 0; d < dim; d++) sum[d] += next[d];
  }
  return sum;
}

INLINE void sgd_row(float *restrict p, const float *restrict g, const float *np, const float *ng,
                    size_t dim, float rate, int near) {
  for (size_t d = 0; d < dim; d += 64) {
    const size_t end = d + 64 < dim ? d + 64 : dim;
    for (size_t k = d; k < end; k += 16) {
      CRL_PREFETCH(np + k, near);
      CRL_PREFETCH(ng + k, near);
    }
    for (size_t k = d; k < end; k++) p[k] -= rate * g[k];
  }
}

INLINE void adam_row(float *restrict p, float *restrict m, float *restrict v,
                     const float *restrict g, const float *np, const float *nm, const float *nv,
                     const float *ng, size_t dim, float rate, int near) {
  for (size_t d = 0; d < dim; d += 64) {
    const size_t end = d + 64 < dim ? d + 64 : dim;
    for (size_t k = d; k < end; k += 16) {
      CRL_PREFETCH(np + k, near);
      CRL_PREFETCH(nm + k, near);
      CRL_PREFETCH(nv + k, near);
      CRL_PREFETCH(ng + k, near);
    }
    for (size_t k = d; k < end; k++) {
      m[k] += 0.1f * (g[k] - m[k]);
      v[k] += 0.001f * (g[k] * g[k] - v[k]);
      p[k] -= 0.00001f * p[k] + rate * m[k] / (__builtin_elementwise_sqrt(v[k]) + 1e-8f);
    }
  }
}

INLINE void rows(const crl_step *work, size_t first, size_t last, int adam) {
  const size_t dim = work->dim, ahead = crl_rows_ahead(dim, 6);
  const int near = crl_prefetch_near;
  float sum[4096];
  for (size_t r = first; r < last; r++) {
    const float *g = gradient_of(work, r, sum);
    const size_t next = r + ahead < last ? r + ahead : r;
    const float *ng = work->gradient + (size_t)work->tokens[work->offsets[next]] * dim;
    const size_t at = (size_t)work->rows[r] * dim, soon = (size_t)work->rows[next] * dim;
    if (adam) {
      adam_row(work->table + at, work->first + at, work->second + at, g, work->table + soon,
               work->first + soon, work->second + soon, ng, dim, work->rate, near);
    } else {
      sgd_row(work->table + at, g, work->table + soon, ng, dim, work->rate, near);
    }
  }
}

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static void rows_avx512(const crl_step *work, size_t first,
                                                           size_t last) {
  if (work->first)
    rows(work, first, last, 1);
  else
    rows(work, first, last, 0);
}
#endif

void crl_step_rows(const crl_step *work, size_t first, size_t last) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    rows_avx512(work, first, last);
    return;
  }
#endif
  if (work->first)
    rows(work, first, last, 1);
  else
    rows(work, first, last, 0);
}
