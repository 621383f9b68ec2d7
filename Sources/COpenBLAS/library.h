// The addresses that open.c finds and routines.c calls.
#ifndef EMBEDKERNEL_COPENBLAS_LIBRARY_H
#define EMBEDKERNEL_COPENBLAS_LIBRARY_H

#include <stdint.h>

/// CBLAS's and LAPACKE's constants.
enum {
  ROW_MAJOR = 101,
  COLUMN_MAJOR = 102,
  NOT_TRANSPOSED = 111,
  TRANSPOSED = 112,
  LOWER = 122,
};

/// X(member, symbol, result, parameters)
#define BLAS_ROUTINES(X)                                                                           \
  X(configuration, "openblas_get_config", char *, (void))                                          \
  X(core, "openblas_get_corename", char *, (void))                                                 \
  X(threading, "openblas_get_parallel", int, (void))                                               \
  X(threads, "openblas_get_num_threads", int, (void))                                              \
  X(set_threads, "openblas_set_num_threads", void, (int))                                          \
  X(scopy, "cblas_scopy", void, (int32_t, const float *, int32_t, float *, int32_t))               \
  X(sscal, "cblas_sscal", void, (int32_t, float, float *, int32_t))                                \
  X(saxpy, "cblas_saxpy", void, (int32_t, float, const float *, int32_t, float *, int32_t))        \
  X(srot, "cblas_srot", void, (int32_t, float *, int32_t, float *, int32_t, float, float))         \
  X(sgemv, "cblas_sgemv", void,                                                                    \
    (int, int, int32_t, int32_t, float, const float *, int32_t, const float *, int32_t, float,     \
     float *, int32_t))                                                                            \
  X(dgemv, "cblas_dgemv", void,                                                                    \
    (int, int, int32_t, int32_t, double, const double *, int32_t, const double *, int32_t, double, \
     double *, int32_t))                                                                           \
  X(sgemm, "cblas_sgemm", void,                                                                    \
    (int, int, int, int32_t, int32_t, int32_t, float, const float *, int32_t, const float *,       \
     int32_t, float, float *, int32_t))                                                            \
  X(dsyrk, "cblas_dsyrk", void,                                                                    \
    (int, int, int, int32_t, int32_t, double, const double *, int32_t, double, double *, int32_t))

#define LAPACK_ROUTINES(X)                                                                         \
  X(dpstrf, "LAPACKE_dpstrf", int32_t,                                                             \
    (int, char, int32_t, double *, int32_t, int32_t *, int32_t *, double))                         \
  X(dgesdd, "LAPACKE_dgesdd", int32_t,                                                             \
    (int, char, int32_t, int32_t, double *, int32_t, double *, double *, int32_t, double *, int32_t))

#define MEMBER(member, symbol, result, parameters) result(*member) parameters;
typedef struct blas_library {
  BLAS_ROUTINES(MEMBER)
  LAPACK_ROUTINES(MEMBER)
} blas_library;
#undef MEMBER

/// The open libraries; ends the process where they can't be opened.
const blas_library *blas(void);

#endif
