// All operations for one instruction set, and the table of them. A set's file includes this inside a
// `#pragma clang attribute push` that allows its instructions, after defining ET_TABLE, the table's
// name.
#include "CTransformer.h"

#include "gelu.h"
#include "layer_norm.h"
#include "rows.h"
#include "softmax.h"

const et_operations ET_TABLE = {
    .layer_norm = layer_norm,
    .layer_norm_backward = layer_norm_backward,
    .gelu = gelu,
    .gelu_backward = gelu_backward,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .cross_entropy = cross_entropy,
    .cross_entropy_gradient = cross_entropy_gradient,
    .fill_rows = fill_rows,
    .add_row = add_row,
    .sum_columns = sum_columns,
};
