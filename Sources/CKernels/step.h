// Walking the rows of a step, the same for every optimiser and instruction set: find the row, its
// state and its gradient, prefetch the rows to come, and call the optimiser's arithmetic.
//
// The arithmetic is plain loops over a stretch of a row, each operation rounded on its own, so that
// compilers vectorise them for any instruction set and all give the same bits.
#ifndef EMBEDKERNEL_STEP_H
#define EMBEDKERNEL_STEP_H

#include "CKernels.h"
#include "step_rounding.h"

#pragma STDC FP_CONTRACT OFF

/// Sums along a row are kept in so many lanes, element i in lane i mod 16, then added as a tree.
enum { sum_lanes = 16 };

/// How moments are kept: as floats, or in bfloat16, and then whether a pass writes them. A constant
/// wherever it is inlined.
typedef enum moment_form { FLOAT_MOMENTS, ROUNDED_MOMENTS, ROUNDED_MOMENTS_READ } moment_form;

/// A stretch of a row: parameters, state and gradient.
#define EK_STRETCH                                                               \
  float *restrict p, float *restrict a, float *restrict b, int8_t *restrict low, \
      const float *restrict g, size_t n

/// Steps a stretch. `factor` is what `step_settle` gave for the row.
typedef void (*step_update)(EK_STRETCH, const ek_step_tile *tile, float factor,
                            const ek_missed_steps *missed);
/// Adds a stretch to a row's two sums, before anything of the row is updated.
typedef void (*step_measure)(EK_STRETCH, const ek_step_tile *tile, float *restrict sum1,
                             float *restrict sum2);
/// Makes a row's factor of its sums.
typedef float (*step_settle)(float sum1, float sum2, float *row_state, const ek_step_tile *tile);

EK_INLINE float square_root(float x) { return __builtin_elementwise_sqrt(x); }

EK_INLINE float tree_sum(float *lanes) {
  for (size_t width = sum_lanes / 2; width; width /= 2)
    for (size_t i = 0; i < width; i++) lanes[i] += lanes[i + width];
  return lanes[0];
}

/// sum[:n] = columns `c..<c + n` of the rows, added in order. Four rows at a time spare loads and
/// stores of the sum, and do not change the order. For each row one to come is prefetched: `ahead`
/// of them.
EK_INLINE void sum_members(float *restrict sum, const float *gradient, const int32_t *members,
                           size_t count, const int32_t *ahead, size_t ahead_count, size_t dim,
                           size_t c, size_t n) {
  const float *from = gradient + c;
#define EK_ROW(m) (from + (size_t)members[m] * dim)
#define EK_SOON(m) ((m) < ahead_count ? from + (size_t)ahead[m] * dim : EK_ROW(m))
  const float *restrict r0 = EK_ROW(0), *restrict r1 = EK_ROW(1);
  const float *s0 = EK_SOON(0), *s1 = EK_SOON(1);
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __builtin_prefetch(s0 + i, 0, 2);
    __builtin_prefetch(s1 + i, 0, 2);
    for (size_t l = i; l < i + 16; l++) sum[l] = r0[l] + r1[l];
  }
  for (; i < n; i++) sum[i] = r0[i] + r1[i];
  size_t m = 2;
  for (; m + 4 <= count; m += 4) {
    const float *restrict a = EK_ROW(m), *restrict b = EK_ROW(m + 1);
    const float *restrict d = EK_ROW(m + 2), *restrict e = EK_ROW(m + 3);
    const float *soon[4] = {EK_SOON(m), EK_SOON(m + 1), EK_SOON(m + 2), EK_SOON(m + 3)};
    for (i = 0; i + 16 <= n; i += 16) {
      for (size_t j = 0; j < 4; j++) __builtin_prefetch(soon[j] + i, 0, 2);
      for (size_t l = i; l < i + 16; l++) sum[l] = (((sum[l] + a[l]) + b[l]) + d[l]) + e[l];
    }
    for (; i < n; i++) sum[i] = (((sum[i] + a[i]) + b[i]) + d[i]) + e[i];
  }
  for (; m < count; m++) {
    const float *restrict a = EK_ROW(m), *soon = EK_SOON(m);
    for (i = 0; i + 16 <= n; i += 16) {
      __builtin_prefetch(soon + i, 0, 2);
      for (size_t l = i; l < i + 16; l++) sum[l] += a[l];
    }
    for (; i < n; i++) sum[i] += a[i];
  }
#undef EK_ROW
#undef EK_SOON
}

/// The same of rows times `factors` (NULL: 1), of one row or more; the sum times `scale`.
EK_INLINE void sum_weighted(float *restrict sum, const float *gradient, const int32_t *members,
                            const float *factors, size_t count, const int32_t *ahead,
                            size_t ahead_count, size_t dim, size_t n, float scale) {
  for (size_t m = 0; m < count; m++) {
    const float *restrict row = gradient + (size_t)members[m] * dim;
    const float factor = factors ? factors[m] : 1;
    const float *soon = m < ahead_count ? gradient + (size_t)ahead[m] * dim : row;
    for (size_t i = 0; i < n; i += 16) __builtin_prefetch(soon + i, 0, 2);
    if (m == 0)
      for (size_t i = 0; i < n; i++) sum[i] = row[i] * factor;
    else
      for (size_t i = 0; i < n; i++) sum[i] += row[i] * factor;
  }
  if (scale != 1)
    for (size_t i = 0; i < n; i++) sum[i] *= scale;
}

static const float step_zeros[step_chunk];

/// The gradient of row k from column c on, n columns, in place or in `sum`.
EK_INLINE const float *gradient_of(const ek_step_tile *t, size_t k, size_t row, size_t c, size_t n,
                                   float *sum) {
  switch (t->form) {
    case EK_BY_INDEX: return t->gradient + k * t->dim + c;
    case EK_BY_ROW: return t->gradient + row * t->dim + c;
    case EK_ZERO: return step_zeros;
    case EK_PASSED: return t->gradient + ek_walk_at(&t->walk, k).token * t->dim + c;
    case EK_GROUPED: break;
  }
  const int32_t *members = t->members + t->offsets[k];
  size_t count = (size_t)(t->offsets[k + 1] - t->offsets[k]);
  // Four members are summed at a time, so those of the next four are asked for.
  size_t last = (size_t)t->offsets[t->end], first = (size_t)t->offsets[k] + t->prefetch_rows + 3;
  size_t ahead = t->prefetch_rows && first < last ? last - first : 0;
  if (t->factors || (t->divides_by_count && count > 1)) {
    const float scale = t->divides_by_count ? 1 / (float)count : 1;
    sum_weighted(sum, t->gradient + c, members, t->factors ? t->factors + t->offsets[k] : NULL,
                 count, ahead ? t->members + first : members, ahead, t->dim, n, scale);
    return sum;
  }
  if (count == 1) return t->gradient + (size_t)members[0] * t->dim + c;
  sum_members(sum, t->gradient, members, count, ahead ? t->members + first : members, ahead, t->dim,
              c, n);
  return sum;
}

/// The gradient row to prefetch beside row k, or NULL: row k + prefetch_rows, and where gradients
/// are still to be summed the member so many places on, as each member is read once.
EK_INLINE const float *gradient_soon(const ek_step_tile *t, size_t k, size_t row) {
  switch (t->form) {
    case EK_BY_INDEX: return t->gradient + (k + t->prefetch_rows) * t->dim;
    case EK_BY_ROW: return t->gradient + row * t->dim;
    case EK_ZERO: return NULL;
    case EK_PASSED: return t->gradient + ek_walk_at(&t->walk, k + t->prefetch_rows).token * t->dim;
    case EK_GROUPED: {
      size_t at = (size_t)t->offsets[k] + t->prefetch_rows;
      if (t->offsets[k + 1] - t->offsets[k] > 1 || at >= (size_t)t->offsets[t->end]) return NULL;
      return t->gradient + (size_t)t->members[at] * t->dim;
    }
  }
}

/// The start of a state row, or NULL where there is no such state.
#define EK_STATE(array, slot, dim) ((array) ? (array) + (size_t)(slot) * (dim) : NULL)

typedef struct row_address {
  float *p, *a, *b;
  uint16_t *rounded, *rounded_a, *rounded_b;
  int8_t *low;
  const float *g;
  int64_t row, slot;
} row_address;

EK_INLINE row_address find_row(const ek_step_tile *t, size_t k, moment_form form) {
  int64_t row = ek_step_row(t, k), slot = ek_step_slot(t, row);
  row_address found = {.row = row, .slot = slot};
  if (slot < 0) return found;
  found.p = EK_STATE(t->table, row, t->dim);
  found.rounded = EK_STATE(t->rounded, row, t->dim);
  found.a = EK_STATE(t->first, slot, t->dim);
  found.b = EK_STATE(t->second, slot, t->dim);
  if (form != FLOAT_MOMENTS) {
    found.rounded_a = EK_STATE(t->rounded_first, slot, t->dim);
    found.rounded_b = EK_STATE(t->rounded_second, slot, t->dim);
  }
  found.low = EK_STATE(t->residual, slot, t->dim);
  return found;
}

/// Brings a block of each array of a row to come into L1 or L2.
EK_INLINE void prefetch_block(const row_address *soon, size_t i, bool near, moment_form form) {
#define EK_SOON(level)                                          \
  for (size_t k = 0; k < step_block; k += 16) {                 \
    if (soon->p) __builtin_prefetch(soon->p + i + k, 1, level); \
    if (soon->a) __builtin_prefetch(soon->a + i + k, 1, level); \
    if (soon->b) __builtin_prefetch(soon->b + i + k, 1, level); \
    if (soon->g) __builtin_prefetch(soon->g + i + k, 0, level); \
  }                                                             \
  if (soon->rounded)                                            \
    for (size_t k = 0; k < step_block; k += 32)                 \
      __builtin_prefetch(soon->rounded + i + k, 1, level);      \
  if (form != FLOAT_MOMENTS && soon->rounded_a)                 \
    for (size_t k = 0; k < step_block; k += 32) {               \
      __builtin_prefetch(soon->rounded_a + i + k, 1, level);    \
      __builtin_prefetch(soon->rounded_b + i + k, 1, level);    \
    }                                                           \
  if (soon->low) __builtin_prefetch(soon->low + i, 1, level)
  if (near) {
    EK_SOON(3);
  } else {
    EK_SOON(2);
  }
#undef EK_SOON
}

/// What a walk adds a row to.
typedef struct pass_target {
  float *sum;  ///< NULL where it passes nothing on.
  bool first;  ///< Whether the sum begins with this row.
} pass_target;

EK_INLINE void pass_on(const pass_target *to, size_t i, const float *restrict g, size_t n) {
  float *restrict sum = to->sum + i;
  if (to->first)
    for (size_t j = 0; j < n; j++) sum[j] = g[j];
  else
    for (size_t j = 0; j < n; j++) sum[j] += g[j];
}

/// Updates a stretch of a row from column `i` on, at most a block, of which `p` and `g` are the
/// parameters and the gradient.
EK_INLINE void step_stretch(const ek_step_tile *t, const row_address *at, step_update update,
                            moment_form form, float *p, const float *g, size_t i, size_t n,
                            float factor, const ek_missed_steps *missed) {
  int8_t *low = at->low ? at->low + i : NULL;
  if (form == FLOAT_MOMENTS) {
    update(p, at->a ? at->a + i : NULL, at->b ? at->b + i : NULL, low, g, n, t, factor, missed);
    return;
  }
  _Alignas(64) float a[step_block], b[step_block];
  widen_bf16(a, at->rounded_a + i, n);
  widen_bf16(b, at->rounded_b + i, n);
  update(p, a, b, low, g, n, t, factor, missed);
  if (form == ROUNDED_MOMENTS)
    round_moments(t, at->rounded_a + i, at->rounded_b + i, a, b, (uint64_t)at->slot, i, n);
}

/// Steps rows begin..<end. `update`, `measure`, `settle` and `form` are constants where this is
/// inlined; `measure` and `settle` are NULL for optimisers without sums along a row.
EK_INLINE void step_rows(const ek_step_tile *tile, step_update update, step_measure measure,
                         step_settle settle, moment_form form) {
  // A copy that nothing else can point to, so that its fields stay in registers.
  const ek_step_tile t = *tile;
  _Alignas(64) float sum[step_chunk], wide[step_chunk];
  for (size_t k = t.begin; k < t.end; k++) {
    row_address at = find_row(&t, k, form), soon = {0};
    pass_target passing = {NULL, false};
    if (t.form == EK_PASSED) {
      ek_walk_place place = ek_walk_at(&t.walk, k);
      passing = (pass_target){t.sums + place.position * t.dim, place.sequence == 0};
    } else if (at.slot < 0) {
      continue;
    }
    if (t.prefetch_rows && k + t.prefetch_rows < t.end) {
      soon = find_row(&t, k + t.prefetch_rows, form);
      soon.g = gradient_soon(&t, k, (size_t)soon.row);
    }
    const ek_missed_steps *missed = t.missed ? t.missed + k : NULL;
    float factor = 0;
    const float *g = NULL;
    if (measure && at.slot >= 0) {
      _Alignas(64) float sum1[sum_lanes] = {0}, sum2[sum_lanes] = {0};
      for (size_t c = 0; c < t.dim; c += step_chunk) {
        size_t n = t.dim - c < step_chunk ? t.dim - c : step_chunk;
        g = gradient_of(&t, k, (size_t)at.row, c, n, sum);
        float *p = at.p ? at.p + c : widen_row(wide, at.rounded + c, n, t.rounded_type);
        measure(p, at.a ? at.a + c : NULL, at.b ? at.b + c : NULL, NULL, g, n, &t, sum1, sum2);
      }
      factor =
          settle(tree_sum(sum1), tree_sum(sum2), t.row_state ? t.row_state + at.slot : NULL, &t);
    }
    for (size_t c = 0; c < t.dim; c += step_chunk) {
      size_t n = t.dim - c < step_chunk ? t.dim - c : step_chunk, i = 0;
      if (!g || t.dim > step_chunk) g = gradient_of(&t, k, (size_t)at.row, c, n, sum);
      float *p = at.p         ? at.p + c
                 : at.rounded ? widen_row(wide, at.rounded + c, n, t.rounded_type)
                              : NULL;
      for (; i + step_block <= n; i += step_block) {
        if (t.prefetch_rows) prefetch_block(&soon, c + i, t.near, form);
        if (at.slot >= 0)
          step_stretch(&t, &at, update, form, p + i, g + i, c + i, step_block, factor, missed);
        if (passing.sum) pass_on(&passing, c + i, g + i, step_block);
      }
      if (i < n) {
        if (t.prefetch_rows) prefetch_block(&soon, c + i, t.near, form);
        if (at.slot >= 0)
          step_stretch(&t, &at, update, form, p + i, g + i, c + i, n - i, factor, missed);
        if (passing.sum) pass_on(&passing, c + i, g + i, n - i);
      }
      if (at.rounded) round_row(&t, at.rounded + c, p, (uint64_t)at.row * t.dim + c, n);
    }
  }
}

#endif
