// How the loops prefetch, which a search sets as `embedkernel tune` does for the library: a ceiling
// that is not tuned is none.
#ifndef C_REFERENCE_LOOPS_PREFETCH_H
#define C_REFERENCE_LOOPS_PREFETCH_H

#include "CReferenceLoops.h"

/// Set by `crl_set_prefetch`: 0 rows for as many as the loop takes by itself.
extern size_t crl_prefetch_rows;
extern int crl_prefetch_near;

/// How many rows ahead, as visited; `most` where nothing is set, and as many as fit in a quarter of
/// a second-level cache of 1 MiB.
static inline __attribute__((always_inline)) size_t crl_rows_ahead(size_t dim, size_t most) {
  if (crl_prefetch_rows) return crl_prefetch_rows;
  const size_t rows = (256 << 10) / (dim * sizeof(float));
  return rows < 1 ? 1 : rows > most ? most : rows;
}

/// Asks for a line, into L1 or L2.
#define CRL_PREFETCH(address, near)      \
  do {                                   \
    if (near)                            \
      __builtin_prefetch(address, 0, 3); \
    else                                 \
      __builtin_prefetch(address, 0, 2); \
  } while (0)

#endif
