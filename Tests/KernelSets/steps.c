// Checks of the optimisers' steps: every form of gradient, with and without state, missed steps and
// rounding.
#include "check.h"

#include <math.h>

enum { V = 9, B = 3, T = 5, N = B * T, HISTORY = 64 };

/// Where slots of inputs go.
enum {
  ROWS,
  SLOTS_OF_ROWS,
  GRADIENT,
  OFFSETS,
  MEMBERS,
  FACTORS,
  DESTINATIONS,
  MISSED,
  SIZES,
  POSITIONS
};

/// Some rows of the table, each once.
static size_t draw_list(ek_step_tile *t) {
  int32_t all[V], *rows = input(ROWS, V * sizeof *rows);
  for (int32_t i = 0; i < V; i++) all[i] = i;
  const size_t count = 1 + draw_below(V);
  for (size_t k = 0; k < count; k++) {
    const size_t pick = k + draw_below(V - k);
    const int32_t row = all[pick];
    all[pick] = all[k], all[k] = row;
    rows[k] = row;
  }
  t->rows = rows;
  return count;
}

/// Groups of members for `count` rows, one or more each; each of N rows once.
static void draw_groups(ek_step_tile *t, size_t count) {
  int32_t *offsets = input(OFFSETS, (count + 1) * 4), *members = input(MEMBERS, N * 4);
  for (size_t n = 0; n < N; n++) members[n] = (int32_t)(n * 4 % N);
  offsets[0] = 0;
  for (size_t k = 1; k <= count; k++) {
    const int32_t next = offsets[k - 1] + 1 + (int32_t)draw_below(4),
                  most = (int32_t)(N - count + k);
    offsets[k] = k == count || next > most ? most : next;
  }
  t->offsets = offsets;
  t->members = members;
}

/// The table row that a token alone steps, if any.
static void draw_walk(ek_step_tile *t) {
  int32_t *to = input(DESTINATIONS, N * 4), row = 0;
  for (size_t n = 0; n < N; n++) to[n] = row < V && toss() ? row++ : -1;
  t->destinations = to;
  t->walk = (ek_walk){B, T, 1 + draw_below(T)};
}

static void draw_missed(ek_step_tile *t, size_t count) {
  ek_missed_steps *missed = input(MISSED, count * sizeof *missed);
  double *sizes = input(SIZES, 3 * HISTORY * sizeof *sizes);
  for (size_t i = 0; i < HISTORY; i++) {
    sizes[i] = 1e-3 + 1e-6 * (double)draw_below(1000);
    sizes[HISTORY + i] = 1e-8 * (double)(1 + draw_below(9));
    sizes[2 * HISTORY + i] = 1e-4 * (double)draw_below(4);
  }
  const int64_t gaps[] = {0, 1, 4, 17, 50};
  const bool moments_decay = toss();
  for (size_t k = 0; k < count; k++) {
    const int64_t gap = gaps[draw_below(5)];
    missed[k] = (ek_missed_steps){.keep = 0.98,
                                  .first_lead = 0.9,
                                  .second_lead = 0.99,
                                  .from = 5,
                                  .to = 5 + gap,
                                  .loss = draw_float(0, 0.01f),
                                  .sum = draw_float(0, 0.01f),
                                  .epsilon = 1e-7f,
                                  .floor = toss() ? 0 : 0.05f,
                                  .first_whole = gap < 5 ? 1 : 0,
                                  .first_part = gap < 5 ? -0.1f * (float)gap : 0.2f,
                                  .second_whole = gap < 5 ? 1 : 0,
                                  .second_part = gap < 5 ? -0.01f * (float)gap : 0.7f,
                                  .moments_decay = moments_decay};
  }
  t->missed = missed;
  t->history = (ek_step_history){.size = sizes,
                                 .epsilon = sizes + HISTORY,
                                 .loss = sizes + 2 * HISTORY,
                                 .mask = HISTORY - 1,
                                 .longest = 40,
                                 .first_beta = 0.9,
                                 .second_beta = 0.99};
}

/// Which state an optimiser has.
typedef struct step_kind {
  ek_step step;
  bool first, second, row_state, gaps, only_gaps;
  bool rounds_moments;  ///< Whether its moments may be in bfloat16.
} step_kind;

/// The results of set `s`.
static void put_results(ek_step_tile *t, int s, const step_kind *kind, bool rounds, bool keeps_rest,
                        bool rounds_moments) {
  const size_t count = V * t->dim;
  t->table = NULL, t->rounded = NULL, t->residual = NULL;
  if (t->rounding != EK_ROUNDED_RANDOMLY) t->table = result(s, 0, count * 4);
  if (rounds) {
    t->rounded = zeros(s, 1, count * 2);
    for (size_t i = 0; i < count; i++) t->rounded[i] = (uint16_t)(i * 40503 >> 3) & 0xBF9F;
  }
  t->rounded_first = NULL, t->rounded_second = NULL;
  if (rounds_moments) {
    t->rounded_first = zeros(s, 2, count * 2);
    t->rounded_second = zeros(s, 3, count * 2);
    for (size_t i = 0; i < count; i++) {
      t->rounded_first[i] = (uint16_t)(i * 40503 >> 2) & 0xBF9F;
      t->rounded_second[i] = i % 7 == 3 ? 0 : (uint16_t)(i * 30011 >> 2) & 0x3F1F;
    }
  }
  t->first = kind->first && !rounds_moments ? result(s, 2, count * 4) : NULL;
  t->second = kind->second && !rounds_moments ? result(s, 3, count * 4) : NULL;
  // Sums of squares, some of them zero, some below the floor.
  float *squares = t->second                                      ? t->second
                   : kind->first && kind->step == EK_STEP_ADAGRAD ? t->first
                                                                  : NULL;
  for (size_t i = 0; squares && i < count; i++)
    squares[i] = i % 7 == 3 ? 0 : squares[i] * squares[i] * (i % 5 ? 1 : 0.01f);
  if (kind->row_state) {
    t->row_state = result(s, 4, V * 4);
    for (size_t i = 0; i < V; i++) t->row_state[i] *= t->row_state[i];
  }
  if (keeps_rest) {
    t->residual = zeros(s, 5, count);
    for (size_t i = 0; i < count; i++) t->residual[i] = (int8_t)((int)(i * 37 % 65) - 32);
  }
  t->sums = t->form == EK_PASSED ? result(s, 6, T * t->dim * 4) : NULL;
}

static void check_step(step_kind kind) {
  for (size_t d = 0; d < length_count; d++)
    for (int variant = 0; variant < (kind.only_gaps ? 15 : 40); variant++) {
      ek_step_tile t = {.dim = lengths[d],
                        .seed = 17,
                        .stream = draw(),
                        .moment_stream = draw(),
                        .rounded_type = toss() ? EK_F16 : EK_BF16,
                        .frozen = toss() ? (int64_t)draw_below(V) : -1,
                        .form = kind.only_gaps ? EK_ZERO : (ek_gradient_form)(variant % 5),
                        .prefetch_rows = draw_below(3),
                        .near = toss(),
                        .scale = 1};
      t.scalars = (ek_step_scalars){.gradient_scale = toss() ? 1 : 0.5f,
                                    .coupled_decay = toss() ? 0 : 0.01f,
                                    .decay = toss() ? 0 : 1e-3f,
                                    .rate = 0.02f,
                                    .first_rate = 0.1f,
                                    .second_rate = 0.01f,
                                    .epsilon = 1e-6f,
                                    .correction = 0.3f,
                                    .nesterov = toss()};
      t.end = draw_list(&t);
      if (t.form == EK_GROUPED) draw_groups(&t, t.end);
      if (t.form == EK_PASSED) {
        draw_walk(&t);
        t.rows = NULL, t.end = N;
      } else if (draw_below(4) == 0) {
        t.rows = NULL;
      }
      if (toss()) {
        int32_t *slots = input(SLOTS_OF_ROWS, V * 4);
        for (size_t row = 0; row < V; row++)
          slots[row] = row % 4 == 2 ? -1 : (int32_t)(V - 1 - row);
        t.slots = slots;
      }
      t.gradient = input_floats(GRADIENT, N * t.dim);
      if (t.form == EK_GROUPED && toss()) t.factors = input_floats(FACTORS, N);
      t.divides_by_count = toss();
      if (kind.only_gaps || (kind.gaps && toss())) draw_missed(&t, t.end);
      const int way = kind.only_gaps ? variant % 4 : variant / 5 % 4;
      t.rounding = way == 1   ? EK_ROUNDED_TO_NEAREST
                   : way == 2 ? EK_ROUNDED_RANDOMLY
                              : EK_NOT_ROUNDED;
      const bool keeps_rest = kind.second && kind.step != EK_STEP_LAMB && way == 3;
      const bool rounds_moments = kind.rounds_moments && toss();
      begin_case();
      EACH_SET(s) {
        put_results(&t, s, &kind, way == 1 || way == 2, keeps_rest, rounds_moments);
        CALL(s, step[kind.step](&t));
      }
      agree(
          "dim %zu, %zu rows, form %d, rounding %d to %d, moments %d, residual %d, missed %d, "
          "slots %d, weighted %d",
          t.dim, t.end, t.form, t.rounding, t.rounded_type, rounds_moments, keeps_rest,
          t.missed != NULL, t.slots != NULL, t.factors != NULL);
    }
}

void check_step_sgd(void) { check_step((step_kind){.step = EK_STEP_SGD}); }
void check_step_momentum(void) { check_step((step_kind){.step = EK_STEP_MOMENTUM, .first = true}); }
void check_step_adagrad(void) { check_step((step_kind){.step = EK_STEP_ADAGRAD, .first = true}); }

void check_step_row_wise_adagrad(void) {
  check_step((step_kind){.step = EK_STEP_ROW_WISE_ADAGRAD, .row_state = true});
}

void check_step_adam(void) {
  check_step((step_kind){
      .step = EK_STEP_ADAM, .first = true, .second = true, .gaps = true, .rounds_moments = true});
}

void check_step_lamb(void) {
  check_step((step_kind){.step = EK_STEP_LAMB, .first = true, .second = true});
}

void check_step_catch_up(void) {
  check_step((step_kind){.step = EK_STEP_CATCH_UP,
                         .first = true,
                         .second = true,
                         .only_gaps = true,
                         .rounds_moments = true});
}

void check_step_catch_up_all(void) {
  check_step((step_kind){.step = EK_STEP_CATCH_UP_ALL,
                         .first = true,
                         .second = true,
                         .only_gaps = true,
                         .rounds_moments = true});
}

/// Rows passed on to the outputs of their tokens.
void check_step_read(void) {
  const step_kind kind = {
      .step = EK_STEP_READ, .first = true, .second = true, .rounds_moments = true};
  for (size_t d = 0; d < length_count; d++)
    for (int variant = 0; variant < 16; variant++) {
      ek_step_tile t = {.dim = lengths[d],
                        .frozen = toss() ? (int64_t)draw_below(V) : -1,
                        .form = EK_ZERO,
                        .prefetch_rows = draw_below(3),
                        .walk = {B, T, T},
                        .scale = toss() ? 1 : 1.25f};
      t.end = draw_list(&t);
      draw_groups(&t, t.end);
      if (variant % 4) draw_missed(&t, t.end);
      if (toss()) t.positions = input_floats(POSITIONS, T * t.dim);
      t.streaming = t.dim % 16 == 0 && toss();
      begin_case();
      EACH_SET(s) {
        put_results(&t, s, &kind, false, variant % 2, variant / 4 % 2);
        t.output = result(s, 7, N * t.dim * 4);
        CALL(s, step[EK_STEP_READ](&t));
      }
      agree("dim %zu, %zu rows, missed %d, residual %d, moments %d, positions %d, streaming %d",
            t.dim, t.end, t.missed != NULL, variant % 2, variant / 4 % 2, t.positions != NULL,
            t.streaming);
    }
}
