// What a transformer does to rows beside matrix products: normalisation, GELU, softmax, cross-entropy
// and sums of rows, forward and backward. Rows are contiguous; nothing is allocated and no state is
// kept. All floats; sums over a row are in float, in the vectors' order, so results are the same from
// run to run on one CPU and may differ in the last places between CPUs.
//
// R rows, D dim.
#ifndef EMBEDKERNEL_CTRANSFORMER_H
#define EMBEDKERNEL_CTRANSFORMER_H

#include <stddef.h>

/// out[r, :] = (x[r, :] - mean) * rstd * gamma + beta, and keeps mean[r] and rstd[r].
void et_layer_norm(const float *x, const float *gamma, const float *beta, float *out, float *mean,
                   float *rstd, size_t rows, size_t dim, float epsilon);

/// x_gradient += the gradient of x; gamma_gradient (D) and beta_gradient (D) are added to.
void et_layer_norm_backward(const float *gradient, const float *x, const float *gamma,
                            const float *mean, const float *rstd, float *x_gradient,
                            float *gamma_gradient, float *beta_gradient, size_t rows, size_t dim);

/// out = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), GPT-2's GELU.
void et_gelu(const float *x, float *out, size_t count);

/// gradient *= the slope of GELU at x.
void et_gelu_backward(const float *x, float *gradient, size_t count);

/// The softmax of row[0..<visible] in place; 0 in row[visible..<count].
void et_softmax(float *row, size_t visible, size_t count);

/// gradient = p * (gradient - sum(p * gradient)) over 0..<visible; 0 in visible..<count.
void et_softmax_backward(const float *p, float *gradient, size_t visible, size_t count);

/// -log(softmax(logits)[target]).
float et_cross_entropy(const float *logits, size_t count, size_t target);

/// The same, and puts its gradient times `scale` in place of the logits:
/// scale * (softmax(logits) - [i == target]).
float et_cross_entropy_gradient(float *logits, size_t count, size_t target, float scale);

/// out[r, :] = row for each: where a product's bias starts.
void et_fill_rows(const float *row, float *out, size_t rows, size_t dim);

/// out[r, :] = x[r, :] + row.
void et_add_row(const float *x, const float *row, float *out, size_t rows, size_t dim);

/// sums[i] += the sum of x[r * stride + i] over r, for i in 0..<columns: a bias's gradient.
void et_sum_columns(const float *x, size_t stride, float *sums, size_t rows, size_t columns);

#include "CTransformerSets.h"

#endif
