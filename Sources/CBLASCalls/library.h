// The addresses that open.c finds and routines.c calls, of the types that OpenBLAS's and LAPACKE's
// own headers give them.
#ifndef EMBEDKERNEL_CBLASCALLS_LIBRARY_H
#define EMBEDKERNEL_CBLASCALLS_LIBRARY_H

#include <cblas.h>
#include <lapacke.h>

/// X(member, symbol)
#define BLAS_ROUTINES(X)                   \
  X(configuration, openblas_get_config)    \
  X(core, openblas_get_corename)           \
  X(threading, openblas_get_parallel)      \
  X(threads, openblas_get_num_threads)     \
  X(set_threads, openblas_set_num_threads) \
  X(sscal, cblas_sscal)                    \
  X(saxpy, cblas_saxpy)                    \
  X(srot, cblas_srot)                      \
  X(sgemv, cblas_sgemv)                    \
  X(dgemv, cblas_dgemv)                    \
  X(sgemm, cblas_sgemm)                    \
  X(dsyrk, cblas_dsyrk)

#define LAPACK_ROUTINES(X)  \
  X(dpstrf, LAPACKE_dpstrf) \
  X(dgesdd, LAPACKE_dgesdd)

#define MEMBER(member, symbol) __typeof__(symbol) *member;
typedef struct blas_library {
  BLAS_ROUTINES(MEMBER)
  LAPACK_ROUTINES(MEMBER)
} blas_library;
#undef MEMBER

_Static_assert(sizeof(blasint) == 4 && sizeof(lapack_int) == 4, "32-bit integers are expected");

/// The open libraries; ends the process where they can't be opened.
const blas_library *blas(void);

#endif
