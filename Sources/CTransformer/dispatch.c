// The one place where an instruction set is chosen: the one that the program names, else the best that
// the CPU has, always the same on one CPU.
#include <stdatomic.h>

#include "CTransformer.h"

extern const et_operations et_operations_plain, et_operations_avx2, et_operations_avx512;

const et_operations *et_operations_for(et_instruction_set set) {
  switch (set) {
    case ET_PLAIN: return &et_operations_plain;
#if defined(__x86_64__)
    case ET_AVX2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &et_operations_avx2
                                                                             : NULL;
    case ET_AVX512: return __builtin_cpu_supports("avx512f") ? &et_operations_avx512 : NULL;
#endif
    default: return NULL;
  }
}

static const et_operations *best(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return &et_operations_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &et_operations_avx2;
#endif
  return &et_operations_plain;
}

static _Atomic(const et_operations *) chosen;

void et_choose(const et_operations *operations) { atomic_store(&chosen, operations); }

static const et_operations *operations(void) {
  const et_operations *known = atomic_load_explicit(&chosen, memory_order_acquire);
  if (known != NULL) return known;
  // A choice made meanwhile stands.
  const et_operations *found = best();
  return atomic_compare_exchange_strong(&chosen, &known, found) ? found : known;
}

const et_operations *et_operations_in_force(void) { return operations(); }

void et_layer_norm(const float *x, const float *gamma, const float *beta, float *out, float *mean,
                   float *rstd, size_t rows, size_t dim, float epsilon) {
  operations()->layer_norm(x, gamma, beta, out, mean, rstd, rows, dim, epsilon);
}

void et_layer_norm_backward(const float *gradient, const float *x, const float *gamma,
                            const float *mean, const float *rstd, float *x_gradient,
                            float *gamma_gradient, float *beta_gradient, size_t rows, size_t dim) {
  operations()->layer_norm_backward(gradient, x, gamma, mean, rstd, x_gradient, gamma_gradient,
                              beta_gradient, rows, dim);
}

void et_gelu(const float *x, float *out, size_t count) { operations()->gelu(x, out, count); }

void et_gelu_backward(const float *x, float *gradient, size_t count) {
  operations()->gelu_backward(x, gradient, count);
}

void et_softmax(float *row, size_t visible, size_t count) { operations()->softmax(row, visible, count); }

void et_softmax_backward(const float *p, float *gradient, size_t visible, size_t count) {
  operations()->softmax_backward(p, gradient, visible, count);
}

float et_cross_entropy(const float *logits, size_t count, size_t target) {
  return operations()->cross_entropy(logits, count, target);
}

float et_cross_entropy_gradient(float *logits, size_t count, size_t target, float scale) {
  return operations()->cross_entropy_gradient(logits, count, target, scale);
}

void et_fill_rows(const float *row, float *out, size_t rows, size_t dim) {
  operations()->fill_rows(row, out, rows, dim);
}

void et_add_row(const float *x, const float *row, float *out, size_t rows, size_t dim) {
  operations()->add_row(x, row, out, rows, dim);
}

void et_sum_columns(const float *x, size_t stride, float *sums, size_t rows, size_t columns) {
  operations()->sum_columns(x, stride, sums, rows, columns);
}
