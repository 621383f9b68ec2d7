// The C kernels: one source for all instruction sets, compiled for each, chosen at run time.
//
// Nothing here allocates, keeps state or checks: the Swift layer has checked every argument.
#ifndef EMBEDKERNEL_CKERNELS_H
#define EMBEDKERNEL_CKERNELS_H

#include "CKernelRows.h"
#include "CKernelBags.h"
#include "CKernelSteps.h"
#include "CKernelTiles.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma clang assume_nonnull begin

/// One instruction set's kernels. D dim, R rows.
typedef struct ek_kernels {
  // MARK: The embedding layer. All sets compute the same bits, but for the products.

  /// for n in the nest: output[n, :] = scale * tokens[ids[n], :] + positions[place(n), :]
  ///
  /// Arithmetic is in floats, rounded to the output's elements once. Traffic per token: a row read
  /// from the token table and one written once, and the position row, which the order of the nest
  /// keeps in cache.
  void (*embed)(const ek_element_tile *tile);

  /// The same from rows of any format, decoded on the way.
  void (*embed_rows)(const ek_row_tile *tile);

  /// out[i] = column `column + i` of a row for i in 0..<count; `column` is a multiple of 32.
  void (*decode_row)(const ek_rows *table, size_t row, size_t column, size_t count, float *out);

  /// Whether `count` ids of 4 or 8 bytes are all in 0..<limit. Traffic: the ids, read once.
  bool (*ids_below)(const void *ids, size_t count, size_t id_bytes, size_t limit);

  /// for b in bags: output[b, :] = pool of weights[j] * table[ids[j], :] over the bag's ids j
  ///
  /// Sums in the order of the ids, from zero on. Traffic: a row read for each id, a row written for
  /// each bag.
  void (*pool_rows)(const ek_bag_tile *tile);

  /// weight_gradient[j] = the inner product of table[ids[j], :] and the gradient of its bag's row;
  /// element i in lane i mod 32, the lanes then added as a tree of halves.
  void (*bag_weight_gradients)(const ek_bag_tile *tile);

  /// to[i] = from[i], rounded where `output` is narrower; the types differ.
  void (*convert)(const void *from, ek_element input, void *to, ek_element output, size_t count);

  /// output[:] (+)= factor * sum of rows[indices[i], :], and
  /// passed[destinations[indices[i]], :] (+)= pass_factor * rows[indices[i], :]
  ///
  /// Each row is read once and the output written once. Rows are passed on only where the sum is
  /// not compensated.
  void (*sum_rows)(const ek_row_sum *work);

  /// The same for each of many groups of rows.
  void (*sum_groups)(const ek_group_sum *work);

  /// for n in the nest, i < pairs, (a, b) pair i of input row n, (c, s) of its cos/sin row:
  ///   output pair = (a*c - b*s, b*c + a*s), products and sums each rounded
  ///
  /// 16-bit elements are widened, rotated in fp32 and rounded once. Traffic per row: its bytes read
  /// and written; cos/sin rows stay in cache.
  void (*rotate)(const ek_rotary_tile *tile);

  /// `embed` of floats with segments, normalisation and dropout; as much traffic.
  void (*normalize)(const ek_normalize_tile *tile);

  /// Its backward. Traffic per token: D*4 bytes read from the token table, D*4 of the gradient,
  /// D*4 written.
  void (*normalize_gradient)(const ek_normalize_gradient_tile *tile);

  /// for r in rows, j in columns seen: logits[r, j] += table[j - r]; the others: -infinity
  ///
  /// 16-bit logits are widened, and rounded once. Traffic: a logit read and written, and the
  /// table's row, which stays in cache.
  void (*add_by_distance)(const ek_distance_tile *tile);

  /// for r in rows in order, j in columns seen: table[j - r] += logits[r, j]
  void (*sum_by_distance)(const ek_distance_tile *tile);

  /// products = scale * x * transpose of table
  void (*products)(const ek_product_tile *tile);
  /// x += scale * products * table
  void (*combine)(const ek_product_tile *tile);
  /// table += scale * transpose of products * x
  void (*outer)(const ek_product_tile *tile);

  /// The optimisers' steps of a table.
  void (*_Nonnull step[EK_STEPS])(const ek_step_tile *tile);

  // MARK: A transformer's rows, beside matrix products. Rows are contiguous floats; sums over a row
  // are in the vectors' order, so results are the same from run to run on one CPU and may differ in
  // the last places between sets, as products are fused into sums where the set has such an
  // instruction.

  /// out[r, :] = (x[r, :] - mean) * rstd * gamma + beta, and keeps mean[r] and rstd[r].
  void (*layer_norm)(const float *x, const float *gamma, const float *beta, float *out, float *mean,
                     float *rstd, size_t rows, size_t dim, float epsilon);

  /// x_gradient += the gradient of x; gamma_gradient (D) and beta_gradient (D) are added to.
  void (*layer_norm_backward)(const float *gradient, const float *x, const float *gamma,
                              const float *mean, const float *rstd, float *x_gradient,
                              float *gamma_gradient, float *beta_gradient, size_t rows, size_t dim);

  /// out = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))), GPT-2's GELU.
  void (*gelu)(const float *x, float *out, size_t count);

  /// gradient *= the slope of GELU at x.
  void (*gelu_backward)(const float *x, float *gradient, size_t count);

  /// logits[r, :] = e^(logits[r, :] - most[r]) with the largest logit so far, 0 where hidden; sums
  /// and output, those of the tiles before, shrink to it, and the sums take this tile's.
  void (*attention_powers)(const ek_attention_tile *tile);

  /// sums[r] = 1 / sums[r]; output[r, :] *= that: after the last tile.
  void (*attention_finish)(const ek_attention_tile *tile);

  /// p = e^(logits[r, :] - most[r]) * sums[r] in place of the logits, and
  /// gradient = p * (gradient - means[r]), 0 where p is 1; both 0 where hidden.
  void (*attention_gradient)(const ek_attention_tile *tile);

  /// out[r] = the inner product of x[r * x_stride ...] and y[r * y_stride ...].
  void (*dot_rows)(const float *x, size_t x_stride, const float *y, size_t y_stride, float *out,
                   size_t rows, size_t dim);

  /// out[j] += the sum of x[k] * rows[k * stride + j] over k, for j in 0..<columns.
  void (*add_product)(const float *x, const float *rows, size_t stride, float *out, size_t depth,
                      size_t columns);

  /// -log(softmax(logits)[target]).
  float (*cross_entropy)(const float *logits, size_t count, size_t target);

  /// The same, and puts its gradient times `scale` in place of the logits:
  /// scale * (softmax(logits) - [i == target]).
  float (*cross_entropy_gradient)(float *logits, size_t count, size_t target, float scale);

  /// row = e^(row - most) in place, most being the largest; returns their sum.
  float (*powers)(float *row, size_t count, float *most);

  /// row *= factor.
  void (*scale_row)(float *row, size_t count, float factor);

  /// out[r, :] = row for each: where a product's bias starts.
  void (*fill_rows)(const float *row, float *out, size_t rows, size_t dim);

  /// out[r, :] = x[r, :] + row.
  void (*add_row)(const float *x, const float *row, float *out, size_t rows, size_t dim);

  /// sums[i] += the sum of x[r * stride + i] over r, for i in 0..<columns: a bias's gradient.
  void (*sum_columns)(const float *x, size_t stride, float *sums, size_t rows, size_t columns);
} ek_kernels;

/// Every kernel of the table but the steps, `act(name)` each, and the steps, `act(code, name)`
/// each: the one list that tables and what holds sets against each other are made of.
#define EK_EACH_KERNEL(act)                                                                     \
  act(embed) act(embed_rows) act(decode_row) act(ids_below) act(pool_rows)                      \
      act(bag_weight_gradients) act(convert) act(sum_rows) act(sum_groups) act(rotate)          \
          act(normalize) act(normalize_gradient) act(add_by_distance) act(sum_by_distance)      \
              act(products) act(combine) act(outer) act(layer_norm) act(layer_norm_backward)    \
                  act(gelu) act(gelu_backward) act(attention_powers) act(attention_finish)      \
                      act(attention_gradient) act(dot_rows) act(add_product) act(cross_entropy) \
                          act(cross_entropy_gradient) act(powers) act(scale_row) act(fill_rows) \
                              act(add_row) act(sum_columns)
#define EK_EACH_STEP_KERNEL(act)                                                                \
  act(EK_STEP_SGD, step_sgd) act(EK_STEP_MOMENTUM, step_momentum)                               \
      act(EK_STEP_ADAGRAD, step_adagrad) act(EK_STEP_ROW_WISE_ADAGRAD, step_row_wise_adagrad)   \
          act(EK_STEP_ADAM, step_adam) act(EK_STEP_LAMB, step_lamb)                             \
              act(EK_STEP_CATCH_UP, step_catch_up) act(EK_STEP_CATCH_UP_ALL, step_catch_up_all) \
                  act(EK_STEP_READ, step_read)

/// Runs a step of a table.
static inline void ek_run_step(const ek_kernels *kernels, ek_step step, const ek_step_tile *tile) {
  kernels->step[step](tile);
}

/// The instruction sets in rising order of preference; the last supported one is best.
typedef enum ek_instruction_set {
  EK_PLAIN,        ///< Any machine: SSE2 on x86-64.
  EK_NEON,         ///< AArch64.
  EK_NEON_BF16,    ///< With its conversion to bfloat16.
  EK_AVX2,         ///< With F16C and FMA, which every CPU with AVX2 so far has.
  EK_AVX512,       ///< AVX-512F.
  EK_AVX512_BF16,  ///< With AVX-512's conversion to bfloat16, and its extensions for words and
                   ///< classes.
} ek_instruction_set;

/// The kernels of `set`, or NULL where this build or this CPU lacks it: the one place where a set
/// is found.
const ek_kernels *_Nullable ek_kernels_for(ek_instruction_set set);

/// Microarchitectures that gain from limits of their own.
typedef enum ek_microarchitecture {
  EK_OTHER_MICROARCHITECTURE,
  EK_GOLDEN_COVE,  ///< Of servers: Sapphire and Emerald Rapids.
} ek_microarchitecture;

ek_microarchitecture ek_this_microarchitecture(void);

/// Makes this thread's streaming stores visible before whatever it stores next.
void ek_store_fence(void);

/// The size of a core's own cache, its second level, in bytes, or 0 where the system does not tell.
size_t ek_core_cache_bytes(void);

/// The size of the last cache level in bytes, or 0 where the system does not tell.
size_t ek_last_level_cache_bytes(void);

#pragma clang assume_nonnull end
#ifdef __cplusplus
}
#endif
#endif
