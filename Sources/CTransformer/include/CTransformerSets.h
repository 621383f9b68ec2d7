// The operations of CTransformer.h for each instruction set, so that all can be tested on one CPU.
// They differ in speed, and in the last places where products are fused into sums.
#ifndef EMBEDKERNEL_CTRANSFORMER_SETS_H
#define EMBEDKERNEL_CTRANSFORMER_SETS_H

#include "CTransformer.h"

typedef enum et_instruction_set {
  ET_PLAIN,   ///< Any machine; NEON where it is the default.
  ET_AVX2,    ///< AVX2 and FMA.
  ET_AVX512,  ///< AVX-512F.
} et_instruction_set;

/// One instruction set's operations.
typedef struct et_operations {
  __typeof__(et_layer_norm) *layer_norm;
  __typeof__(et_layer_norm_backward) *layer_norm_backward;
  __typeof__(et_gelu) *gelu;
  __typeof__(et_gelu_backward) *gelu_backward;
  __typeof__(et_softmax) *softmax;
  __typeof__(et_softmax_backward) *softmax_backward;
  __typeof__(et_cross_entropy) *cross_entropy;
  __typeof__(et_cross_entropy_gradient) *cross_entropy_gradient;
  __typeof__(et_fill_rows) *fill_rows;
  __typeof__(et_add_row) *add_row;
  __typeof__(et_sum_columns) *sum_columns;
} et_operations;

/// The operations of `set`, or NULL where this CPU has not got it.
const et_operations *et_operations_for(et_instruction_set set);

/// Has the functions of CTransformer.h run `operations`, in all threads; NULL for the best.
void et_choose(const et_operations *operations);

/// Those that they run.
const et_operations *et_operations_in_force(void);

#endif
