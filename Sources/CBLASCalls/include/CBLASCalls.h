// The routines of OpenBLAS and LAPACK that EmbedKernel calls, all in one place. The libraries are
// opened at the first call rather than with the program: OpenBLAS starts its threads as soon as it
// is loaded, and most programs embed without a product.
//
// Sizes, strides and arithmetic are BLAS's own, in 32-bit integers; matrices are row-major.
#ifndef EMBEDKERNEL_CBLASCALLS_H
#define EMBEDKERNEL_CBLASCALLS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Opens the libraries, once for the process, and says what went wrong: NULL where nothing did.
/// Every other function here needs that; without it they end the process.
const char *ek_blas_open(void);

// MARK: The library

const char *ek_blas_configuration(void);
const char *ek_blas_core(void);
/// 0 without threads, 1 with POSIX threads, 2 with OpenMP.
int ek_blas_threading(void);
int ek_blas_threads(void);
void ek_blas_set_threads(int threads);

// MARK: Vectors

void ek_blas_sscal(int32_t n, float scale, float *x, int32_t stride);
void ek_blas_saxpy(int32_t n, float scale, const float *x, int32_t x_stride, float *y,
                   int32_t y_stride);
void ek_blas_srot(int32_t n, float *x, int32_t x_stride, float *y, int32_t y_stride, float cosine,
                  float sine);

// MARK: Matrices

/// y = alpha a x + beta y, with a (rows x columns) or its transpose.
void ek_blas_sgemv(bool transposed, int32_t rows, int32_t columns, float alpha, const float *a,
                   int32_t a_stride, const float *x, int32_t x_stride, float beta, float *y,
                   int32_t y_stride);
void ek_blas_dgemv(bool transposed, int32_t rows, int32_t columns, double alpha, const double *a,
                   int32_t a_stride, const double *x, int32_t x_stride, double beta, double *y,
                   int32_t y_stride);
/// c (m x n) = alpha a b + beta c, where a (m x k) and b (k x n) may each be read transposed.
void ek_blas_sgemm(bool a_transposed, bool b_transposed, int32_t m, int32_t n, int32_t k,
                   float alpha, const float *a, int32_t a_stride, const float *b, int32_t b_stride,
                   float beta, float *c, int32_t c_stride);
/// The lower triangle of c (n x n) = alpha * transpose of a * a + beta c, with a (k x n).
void ek_blas_dsyrk_lower(int32_t n, int32_t k, double alpha, const double *a, int32_t a_stride,
                         double beta, double *c, int32_t c_stride);

// MARK: LAPACK

/// The pivoted Cholesky factor of the lower triangle of a (n x n), in its place. Returns info.
int32_t ek_lapack_dpstrf_lower(int32_t n, double *a, int32_t a_stride, int32_t *pivots,
                               int32_t *rank, double tolerance);
/// The singular values of a (m x n, column after column), which is overwritten. Returns info.
int32_t ek_lapack_dgesdd_values(int32_t m, int32_t n, double *a, int32_t a_stride, double *values);

// MARK: Watching

/// A call as the library saw it.
typedef struct ek_blas_call {
  const char *routine;
  bool transposed[2];
  int32_t sizes[3];
  int32_t strides[3];
  double factors[2];
  /// Where its result goes.
  const void *target;
} ek_blas_call;

/// Has `observer` told of every call before it is made, on the thread that makes it; NULL for none.
void ek_blas_observe(void (*observer)(const ek_blas_call *call));

#ifdef __cplusplus
}
#endif

#endif
