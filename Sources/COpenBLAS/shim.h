// The BLAS and LAPACK that EmbedKernel calls, as OpenBLAS and LAPACKE declare them.
#include <cblas.h>
#include <lapacke.h>
