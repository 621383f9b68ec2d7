// What the optimisers' kernels work on: rows of a table, their state and their gradient.
//
// V table rows, S rows with state, D dim. Each touched row is read and written once.
#ifndef EMBEDKERNEL_CKERNEL_STEPS_H
#define EMBEDKERNEL_CKERNEL_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "CKernelTiles.h"

/// Where the gradient of the k-th row stands.
typedef enum ek_gradient_form {
  EK_BY_INDEX,  ///< Row k of `gradient`.
  EK_BY_ROW,    ///< Row rows[k] of `gradient`.
  EK_GROUPED,   ///< The sum of rows members[offsets[k]..<offsets[k + 1]] of `gradient`, in order.
  EK_ZERO,      ///< Zero.
  EK_PASSED,    ///< The row of a walk's k-th token, which is also added to the sum of its position.
} ek_gradient_form;

/// The tokens of a batch (B, T) in blocks of neighbouring positions, each block sequence by
/// sequence: the sums of a block's positions stay in cache, and each stretch of a sequence is read
/// in order.
typedef struct ek_walk {
  size_t batch, context;
  size_t width;  ///< Positions of a block; the last may have fewer.
} ek_walk;

/// A token of a walk.
typedef struct ek_walk_place {
  size_t token, sequence, position;
} ek_walk_place;

static inline ek_walk_place ek_walk_at(const ek_walk *walk, size_t k) {
  size_t start = k / (walk->batch * walk->width) * walk->width;
  size_t width = walk->context - start < walk->width ? walk->context - start : walk->width;
  size_t within = k - start * walk->batch, sequence = within / width;
  size_t position = start + (within - sequence * width);
  return (ek_walk_place){sequence * walk->context + position, sequence, position};
}

/// The numbers of a step, the same for all rows. Each optimiser says which it reads.
typedef struct ek_step_scalars {
  float gradient_scale;  ///< Multiplies the gradient first.
  float coupled_decay;   ///< Adds this much of the parameter to the gradient.
  float decay;           ///< Takes this much of the parameter away.
  float rate;            ///< The step's length.
  float first_rate;      ///< 1 - beta1, or the momentum.
  float second_rate;     ///< 1 - beta2.
  float epsilon;
  float correction;  ///< Brings the moments' ratio to its size: sqrt(1 - beta2^t) / (1 - beta1^t).
  bool nesterov;
} ek_step_scalars;

/// The steps with zero gradient that a row has missed, `from + 1 ... to`.
///
///     parameter -= loss * parameter + sum * first / (sqrt(second) + epsilon)
///
/// stands for all of them, but where 0 < second < floor: there the terms are summed one by one.
typedef struct ek_missed_steps {
  double keep;                     ///< The share of the parameter that decay leaves.
  double first_lead, second_lead;  ///< Decay of the moments before `from`.
  int64_t from, to;
  float loss, sum, epsilon, floor;
  /// Decay of the moments to `to`, `whole * moment + part * moment`: for a short gap 1 and what
  /// decay takes, as a factor close to 1 would be rounded too far from 1.
  float first_whole, first_part, second_whole, second_part;
  bool moments_decay;  ///< Whether they do at all.
} ek_missed_steps;

/// The numbers of the last steps, at `step & mask`.
typedef struct ek_step_history {
  const double *size;     ///< rate * sqrt(1 - beta2^t) / (1 - beta1^t)
  const double *epsilon;  ///< epsilon * sqrt(1 - beta2^t)
  const double *loss;     ///< rate * weight decay
  int64_t mask;
  int64_t longest;  ///< After so many steps the moments' ratio is as good as zero.
  double first_beta, second_beta;
} ek_step_history;

/// How a row's new values go to the table of 16-bit elements.
typedef enum ek_step_rounding {
  EK_NOT_ROUNDED,         ///< There is no such table.
  EK_ROUNDED_TO_NEAREST,  ///< From the table of floats.
  EK_ROUNDED_RANDOMLY,    ///< From what they were there; there is no table of floats.
} ek_step_rounding;

/// Rows `begin..<end` of a list, to be stepped.
typedef struct ek_step_tile {
  float *table;             ///< (V, D); NULL where `rounded` is all there is.
  uint16_t *rounded;        ///< (V, D) of `rounded_type`, or NULL.
  ek_element rounded_type;  ///< EK_F16 or EK_BF16.
  ek_step_rounding rounding;
  uint64_t seed, stream;  ///< Of random rounding: the key of Philox, and the step.
  float *first, *second;  ///< State of the rows' elements (S, D); NULL where there is none.
  /// In the place of both, Adam's moments in bfloat16 (S, D), rounded at random; or NULL.
  uint16_t *rounded_first, *rounded_second;
  uint64_t moment_stream;  ///< Of that rounding: one for each time that moments are written.
  float *row_state;        ///< State of the rows (S).
  int8_t *residual;        ///< What rounding took from the table, in 1/64 of the last place (S, D);
                           ///< NULL: it is lost.
  const int32_t *rows;     ///< Table rows; NULL: the k-th is k.
  const int32_t *slots;  ///< The state row of each table row (V), negative for a frozen row; NULL:
                         ///< the state row is the table row.
  int64_t frozen;        ///< A row that is left alone, or -1.
  const float *gradient;
  const int32_t *offsets, *members;
  const float *factors;           ///< Of EK_GROUPED: multiply the members first; NULL: none.
  bool divides_by_count;          ///< Of EK_GROUPED: divide the sum by the number of members.
  ek_walk walk;                   ///< Of EK_PASSED.
  const int32_t *destinations;    ///< The row that a token alone steps, or -1 (B*T).
  float *sums;                    ///< The sums of the positions (T, D).
  const ek_missed_steps *missed;  ///< For each k, or NULL.
  ek_step_history history;
  ek_gradient_form form;
  size_t begin, end, dim;
  size_t prefetch_rows;  ///< How many rows ahead to prefetch; 0 for data that is in cache.
  bool near;             ///< Prefetch into L1 instead of L2.
  ek_step_scalars scalars;
  float *output;           ///< Of EK_STEP_READ: (B*T, D).
  const float *positions;  ///< Added to it (T, D), or NULL.
  float scale;             ///< Multiplies the rows first.
  bool streaming;          ///< Whether it is written past the cache; it and D are then aligned.
} ek_step_tile;

/// The table row of the k-th row of a tile, or -1 where none is stepped.
static inline int64_t ek_step_row(const ek_step_tile *t, size_t k) {
  if (t->form == EK_PASSED) return t->destinations[ek_walk_at(&t->walk, k).token];
  return t->rows ? t->rows[k] : (int64_t)k;
}

/// The state row of a table row, or -1 for one that does not move.
static inline int64_t ek_step_slot(const ek_step_tile *t, int64_t row) {
  if (row < 0 || row == t->frozen) return -1;
  return t->slots ? t->slots[row] : row;
}

/// The optimisers that have kernels.
typedef enum ek_step {
  EK_STEP_SGD,
  EK_STEP_MOMENTUM,
  EK_STEP_ADAGRAD,
  EK_STEP_ROW_WISE_ADAGRAD,
  EK_STEP_ADAM,
  EK_STEP_LAMB,
  EK_STEP_CATCH_UP,      ///< Parameters only.
  EK_STEP_CATCH_UP_ALL,  ///< Parameters and moments.
  EK_STEP_READ,          ///< Parameters only, passed on to the output.
  EK_STEPS,
} ek_step;

#endif
