// What the optimisers' microkernels work on: rows of a table, their state and their gradient.
//
// V table rows, S rows with state, D dim. Each touched row is read and written once.
#ifndef EMBEDKERNEL_CMICROKERNEL_STEPS_H
#define EMBEDKERNEL_CMICROKERNEL_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Where the gradient of the k-th row stands.
typedef enum ek_gradient_form {
  EK_BY_INDEX,  ///< Row k of `gradient`.
  EK_BY_ROW,    ///< Row rows[k] of `gradient`.
  EK_GROUPED,   ///< The sum of rows members[offsets[k]..<offsets[k + 1]] of `gradient`, in order.
  EK_ZERO,      ///< Zero.
} ek_gradient_form;

/// The numbers of a step, the same for all rows. Each optimiser says which it reads.
typedef struct ek_step_scalars {
  float gradient_scale;  ///< Multiplies the gradient first.
  float coupled_decay;   ///< Adds this much of the parameter to the gradient.
  float decay;           ///< Takes this much of the parameter away.
  float rate;            ///< The step's length.
  float first_rate;      ///< 1 - beta1, or the momentum.
  float second_rate;     ///< 1 - beta2.
  float epsilon;
  float correction;      ///< Brings the moments' ratio to its size: sqrt(1 - beta2^t) / (1 - beta1^t).
  bool nesterov;
} ek_step_scalars;

/// The steps with zero gradient that a row has missed, `from + 1 ... to`.
///
///     parameter -= loss * parameter + sum * first / (sqrt(second) + epsilon)
///
/// stands for all of them, but where 0 < second < floor: there the terms are summed one by one.
typedef struct ek_missed_steps {
  double keep;                       ///< The share of the parameter that decay leaves.
  double first_lead, second_lead;    ///< Decay of the moments before `from`.
  int64_t from, to;
  float loss, sum, epsilon, floor;
  /// Decay of the moments to `to`, `whole * moment + part * moment`: for a short gap 1 and what decay
  /// takes, as a factor close to 1 would be rounded too far from 1.
  float first_whole, first_part, second_whole, second_part;
  bool moments_decay;                ///< Whether they do at all.
} ek_missed_steps;

/// The numbers of the last steps, at `step & mask`.
typedef struct ek_step_history {
  const double *size;     ///< rate * sqrt(1 - beta2^t) / (1 - beta1^t)
  const double *epsilon;  ///< epsilon * sqrt(1 - beta2^t)
  const double *loss;     ///< rate * weight decay
  int64_t mask;
  int64_t longest;        ///< After so many steps the moments' ratio is as good as zero.
  double first_beta, second_beta;
} ek_step_history;

/// Rows `begin..<end` of a list, to be stepped.
typedef struct ek_step_tile {
  float *table;            ///< (V, D)
  float *first, *second;   ///< State of the rows' elements (S, D); NULL where there is none.
  float *row_state;        ///< State of the rows (S).
  int8_t *residual;        ///< What rounding took from the table, in 1/64 of the last place (S, D);
                           ///< NULL: it is lost.
  const int32_t *rows;     ///< Table rows; NULL: the k-th is k.
  const int32_t *slots;    ///< The state row of each table row (V), negative for a frozen row; NULL:
                           ///< the state row is the table row.
  int64_t frozen;          ///< A row that is left alone, or -1.
  const float *gradient;
  const int32_t *offsets, *members;
  const ek_missed_steps *missed;  ///< For each k, or NULL.
  ek_step_history history;
  ek_gradient_form form;
  size_t begin, end, dim;
  size_t prefetch_rows;    ///< How many rows ahead to prefetch; 0 for data that is in cache.
  ek_step_scalars scalars;
} ek_step_tile;

/// The optimisers that have microkernels.
typedef enum ek_step {
  EK_STEP_SGD,
  EK_STEP_MOMENTUM,
  EK_STEP_ADAGRAD,
  EK_STEP_ROW_WISE_ADAGRAD,
  EK_STEP_ADAM,
  EK_STEP_LAMB,
  EK_STEP_CATCH_UP,          ///< Parameters only.
  EK_STEP_CATCH_UP_ALL,      ///< Parameters and moments.
  EK_STEPS,
} ek_step;

/// One instruction set's steps. All compute the same bits.
typedef struct ek_step_kernels {
  void (*step_f32[EK_STEPS])(const ek_step_tile *tile);
} ek_step_kernels;

/// Runs a step of a table.
static inline void ek_run_step(const ek_step_kernels *kernels, ek_step step,
                               const ek_step_tile *tile) {
  kernels->step_f32[step](tile);
}

#endif
