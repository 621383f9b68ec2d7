// Bounds from counting roundings, for kernels whose sets may round differently.
#ifndef EMBEDKERNEL_KERNEL_SETS_ROUNDING_H
#define EMBEDKERNEL_KERNEL_SETS_ROUNDING_H

#include "check.h"

#include <float.h>
#include <math.h>

static const double rounding __attribute__((unused)) = FLT_EPSILON / 2;

/// The roundings of a sum of `count` by 64 lanes, relative to the sum of magnitudes.
static inline double sum_roundings(size_t count) { return (double)count / 64 + 8; }

static const size_t row_lengths[]
    __attribute__((unused)) = {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 65, 100, 255, 1000, 5025};

#define EACH_LENGTH(dim)    \
  for (size_t at_ = 0, dim; \
       at_ < sizeof row_lengths / sizeof *row_lengths && (dim = row_lengths[at_]); at_++)

#endif
