// What a search found of prefetching; see prefetch.h.

#include "prefetch.h"

size_t crl_prefetch_rows = 0;
int crl_prefetch_near = 0;

void crl_set_prefetch(size_t rows, int near) {
  crl_prefetch_rows = rows;
  crl_prefetch_near = near;
}
