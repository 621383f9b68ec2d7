// All kernels, and the table of them, for the instruction set of the file that includes this,
// inside a `#pragma clang attribute push` that allows its instructions, after defining
//
//   EK_WIDTH, EK_REGISTERS   floats of a register, and how many the set has
//   EK_HAS_BF16              where it converts to bfloat16
//
// A set's table is `EK_KERNELS`, after which it may name kernels of its own instead.
#include "CKernels.h"

#include "bag.h"
#include "distance.h"
#include "embed.h"
#include "embed_rows.h"
#include "gelu.h"
#include "layer_norm.h"
#include "normalize.h"
#include "product.h"
#include "rotate.h"
#include "row_sum.h"
#include "rows.h"
#include "softmax.h"
#include "step_adagrad.h"
#include "step_adam.h"
#include "step_lamb.h"
#include "step_sgd.h"

#pragma clang diagnostic ignored "-Winitializer-overrides"

#define EK_KERNELS                                                                                \
  .embed = embed, .embed_rows = embed_rows, .decode_row = decode_row, .pool_rows = pool_rows,     \
  .bag_weight_gradients = bag_weight_gradients, .convert = convert, .sum_rows = sum_rows,         \
  .sum_groups = sum_groups, .rotate = rotate, .normalize = normalize,                             \
  .normalize_gradient = normalize_gradient, .add_by_distance = add_by_distance,                   \
  .sum_by_distance = sum_by_distance, .products = products, .combine = combine, .outer = outer,   \
  .step =                                                                                         \
      {                                                                                           \
          [EK_STEP_SGD] = step_sgd,           [EK_STEP_MOMENTUM] = step_momentum,                 \
          [EK_STEP_ADAGRAD] = step_adagrad,   [EK_STEP_ROW_WISE_ADAGRAD] = step_row_wise_adagrad, \
          [EK_STEP_ADAM] = step_adam,         [EK_STEP_LAMB] = step_lamb,                         \
          [EK_STEP_CATCH_UP] = step_catch_up, [EK_STEP_CATCH_UP_ALL] = step_catch_up_all,         \
          [EK_STEP_READ] = step_read,                                                             \
  },                                                                                              \
  .layer_norm = layer_norm, .layer_norm_backward = layer_norm_backward, .gelu = gelu,             \
  .gelu_backward = gelu_backward, .softmax = softmax, .softmax_backward = softmax_backward,       \
  .cross_entropy = cross_entropy, .cross_entropy_gradient = cross_entropy_gradient,               \
  .fill_rows = fill_rows, .add_row = add_row, .sum_columns = sum_columns
