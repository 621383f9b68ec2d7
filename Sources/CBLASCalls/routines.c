// The calls themselves. Each is told to the observer first, where there is one.
#include <stdatomic.h>
#include <stddef.h>

#include "CBLASCalls.h"
#include "library.h"

typedef void observer(const ek_blas_call *);
static _Atomic(observer *) watching;

void ek_blas_observe(observer *next) { atomic_store(&watching, next); }

#define TELL(...)                                                              \
  do {                                                                         \
    observer *told = atomic_load_explicit(&watching, memory_order_acquire);    \
    if (__builtin_expect(told != NULL, 0)) told(&(ek_blas_call){__VA_ARGS__}); \
  } while (0)

// MARK: The library

const char *ek_blas_configuration(void) { return blas()->configuration(); }
const char *ek_blas_core(void) { return blas()->core(); }
int ek_blas_threading(void) { return blas()->threading(); }
int ek_blas_threads(void) { return blas()->threads(); }
void ek_blas_set_threads(int threads) { blas()->set_threads(threads); }

// MARK: Vectors

void ek_blas_sscal(int32_t n, float scale, float *x, int32_t stride) {
  TELL("sscal", .sizes = {n}, .strides = {stride}, .factors = {scale}, .target = x);
  blas()->sscal(n, scale, x, stride);
}

void ek_blas_saxpy(int32_t n, float scale, const float *x, int32_t x_stride, float *y,
                   int32_t y_stride) {
  TELL("saxpy", .sizes = {n}, .strides = {x_stride, y_stride}, .factors = {scale}, .target = y);
  blas()->saxpy(n, scale, x, x_stride, y, y_stride);
}

void ek_blas_srot(int32_t n, float *x, int32_t x_stride, float *y, int32_t y_stride, float cosine,
                  float sine) {
  TELL("srot", .sizes = {n}, .strides = {x_stride, y_stride}, .factors = {cosine, sine},
       .target = x);
  blas()->srot(n, x, x_stride, y, y_stride, cosine, sine);
}

// MARK: Matrices

static CBLAS_TRANSPOSE order(bool transposed) { return transposed ? CblasTrans : CblasNoTrans; }

void ek_blas_sgemv(bool transposed, int32_t rows, int32_t columns, float alpha, const float *a,
                   int32_t a_stride, const float *x, int32_t x_stride, float beta, float *y,
                   int32_t y_stride) {
  TELL("sgemv", .transposed = {transposed}, .sizes = {rows, columns},
       .strides = {a_stride, x_stride, y_stride}, .factors = {alpha, beta}, .target = y);
  blas()->sgemv(CblasRowMajor, order(transposed), rows, columns, alpha, a, a_stride, x, x_stride,
                beta, y, y_stride);
}

void ek_blas_dgemv(bool transposed, int32_t rows, int32_t columns, double alpha, const double *a,
                   int32_t a_stride, const double *x, int32_t x_stride, double beta, double *y,
                   int32_t y_stride) {
  TELL("dgemv", .transposed = {transposed}, .sizes = {rows, columns},
       .strides = {a_stride, x_stride, y_stride}, .factors = {alpha, beta}, .target = y);
  blas()->dgemv(CblasRowMajor, order(transposed), rows, columns, alpha, a, a_stride, x, x_stride,
                beta, y, y_stride);
}

void ek_blas_sgemm(bool a_transposed, bool b_transposed, int32_t m, int32_t n, int32_t k,
                   float alpha, const float *a, int32_t a_stride, const float *b, int32_t b_stride,
                   float beta, float *c, int32_t c_stride) {
  TELL("sgemm", .transposed = {a_transposed, b_transposed}, .sizes = {m, n, k},
       .strides = {a_stride, b_stride, c_stride}, .factors = {alpha, beta}, .target = c);
  blas()->sgemm(CblasRowMajor, order(a_transposed), order(b_transposed), m, n, k, alpha, a,
                a_stride, b, b_stride, beta, c, c_stride);
}

void ek_blas_dsyrk_lower(int32_t n, int32_t k, double alpha, const double *a, int32_t a_stride,
                         double beta, double *c, int32_t c_stride) {
  TELL("dsyrk", .sizes = {n, k}, .strides = {a_stride, c_stride}, .factors = {alpha, beta},
       .target = c);
  blas()->dsyrk(CblasRowMajor, CblasLower, CblasTrans, n, k, alpha, a, a_stride, beta, c, c_stride);
}

// MARK: LAPACK

int32_t ek_lapack_dpstrf_lower(int32_t n, double *a, int32_t a_stride, int32_t *pivots,
                               int32_t *rank, double tolerance) {
  TELL("dpstrf", .sizes = {n}, .strides = {a_stride}, .factors = {tolerance}, .target = a);
  return blas()->dpstrf(LAPACK_ROW_MAJOR, 'L', n, a, a_stride, pivots, rank, tolerance);
}

int32_t ek_lapack_dgesdd_values(int32_t m, int32_t n, double *a, int32_t a_stride, double *values) {
  TELL("dgesdd", .sizes = {m, n}, .strides = {a_stride}, .target = values);
  return blas()->dgesdd(LAPACK_COL_MAJOR, 'N', m, n, a, a_stride, values, NULL, 1, NULL, 1);
}
