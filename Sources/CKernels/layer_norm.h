// Layer normalisation of rows: the mean, then the squares of the differences from it, then the
// output; a row stays in L1 for all three.
//
// Bytes an element, forward: 4 read and 4 written; backward: 12 read and 4 written.
#ifndef EMBEDKERNEL_LAYER_NORM_H
#define EMBEDKERNEL_LAYER_NORM_H

#include "vector.h"

#pragma STDC FP_CONTRACT ON

static void layer_norm(const float *x, const float *gamma, const float *beta, float *out,
                       float *mean, float *rstd, size_t rows, size_t dim, float epsilon) {
  for (size_t r = 0; r < rows; r++, x += dim, out += dim) {
    const float m = EK_SUM(dim, i, n, load(x + i, n, 0)) / (float)dim;
    const float squares = EK_SUM(dim, i, n, ({
                                   vec d = load(x + i, n, m) - m;
                                   d *d;
                                 }));
    const float s = 1 / __builtin_sqrtf(squares / (float)dim + epsilon);
    EK_EACH(dim, i, n, {
      vec normal = (load(x + i, n, 0) - m) * s;
      store(out + i, normal * load(gamma + i, n, 0) + load(beta + i, n, 0), n);
    });
    mean[r] = m;
    rstd[r] = s;
  }
}

/// x_gradient += rstd * (g - mean(g) - normal * mean(g * normal)) with g = gradient * gamma.
static void layer_norm_backward(const float *gradient, const float *x, const float *gamma,
                                const float *mean, const float *rstd, float *x_gradient,
                                float *gamma_gradient, float *beta_gradient, size_t rows,
                                size_t dim) {
  for (size_t r = 0; r < rows; r++, gradient += dim, x += dim, x_gradient += dim) {
    const float m = mean[r], s = rstd[r];
    vec sums = 0, products = 0;
    EK_EACH(dim, i, n, {
      vec normal = (load(x + i, n, m) - m) * s, up = load(gradient + i, n, 0);
      vec g = up * load(gamma + i, n, 0);
      sums += g;
      products += g * normal;
      store(gamma_gradient + i, load(gamma_gradient + i, n, 0) + up * normal, n);
      store(beta_gradient + i, load(beta_gradient + i, n, 0) + up, n);
    });
    const float shift = EK_FOLD(sums, EK_ADD) / (float)dim,
                share = EK_FOLD(products, EK_ADD) / (float)dim;
    EK_EACH(dim, i, n, {
      vec normal = (load(x + i, n, m) - m) * s;
      vec g = load(gradient + i, n, 0) * load(gamma + i, n, 0);
      vec slope = (g - shift - normal * share) * s;
      store(x_gradient + i, load(x_gradient + i, n, 0) + slope, n);
    });
  }
}

#endif
