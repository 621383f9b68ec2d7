// Adam and AdamW, and the steps with zero gradient that a row of exact-lazy AdamW has missed.
//
// Bytes a row: D*4 read of the gradient, D*4 read and written of the table and of both moments;
// with a residual D more read and written; moments in bfloat16 take D*2 each.
#ifndef EMBEDKERNEL_STEP_ADAM_H
#define EMBEDKERNEL_STEP_ADAM_H

#include "step.h"

#pragma STDC FP_CONTRACT OFF

EK_INLINE float from_bits(uint32_t word) {
  float x;
  memcpy(&x, &word, 4);
  return x;
}

/// The power of two in `x`, at least 2^-64, so that 1/64 of its last place is a normal number.
EK_INLINE uint32_t exponent(float x) {
  uint32_t e = float_bits(x) & 0x7F800000u;
  return e < 63u << 23 ? 63u << 23 : e;
}

/// Takes `change` from `p` and the residual together, and rounds to both. The residual's unit is
/// 1/64 of the last place: rounding leaves 32 at most, and a byte has room for the few units more
/// where a change outweighs its parameter and the error below is not exact.
EK_INLINE float subtract(float p, float change, int8_t *low) {
  // 2^(e - 23 - 6)
  float unit = from_bits(exponent(p) - (29u << 23));
  float s = change - (float)*low * unit;
  float next = p - s;
  // The error of the difference, exact where |p| >= |s| (Dekker).
  float error = (p - next) - s;
  float per_unit = from_bits((254u << 23) + (29u << 23) - exponent(next));
  // The sum has the integer in its low bits.
  *low = (int8_t)(uint8_t)float_bits(error * per_unit + 12582912.0f);
  return next;
}

/// The missed terms of one element, one by one.
static float exact_sum(float first, float second, const ek_missed_steps *missed,
                       const ek_step_history *h) {
  double m = (double)first * missed->first_lead, v = (double)second * missed->second_lead;
  double weight = missed->keep, sum = 0;
  int64_t last = missed->to - missed->from > h->longest ? missed->from + h->longest : missed->to;
  for (int64_t step = missed->from + 1; step <= last; step++) {
    int64_t at = step & h->mask;
    weight /= 1 - h->loss[at];
    m *= h->first_beta;
    v *= h->second_beta;
    sum += weight * h->size[at] * m / (__builtin_elementwise_sqrt(v) + h->epsilon[at]);
  }
  return (float)sum;
}

/// Whether an element of a stretch must be summed term by term.
EK_INLINE bool needs_terms(const float *restrict a, const float *restrict b, size_t n,
                           const ek_missed_steps *missed) {
  const float floor = missed->floor;
  if (floor == 0) return false;
  int32_t found = 0;
  for (size_t i = 0; i < n; i++) found |= (b[i] < floor) & (a[i] != 0);
  return found != 0;
}

/// p -= loss * p + sum * first / (sqrt(second) + epsilon)
EK_INLINE void catch_up_parameters(EK_STRETCH, const ek_step_tile *tile,
                                   const ek_missed_steps *missed) {
  (void)g;
  const ek_missed_steps s = *missed;
  if (s.from == s.to) return;
  if (needs_terms(a, b, n, &s)) {
    for (size_t i = 0; i < n; i++) {
      float sum = b[i] < s.floor && a[i] != 0 ? exact_sum(a[i], b[i], missed, &tile->history)
                                              : s.sum * a[i] / (square_root(b[i]) + s.epsilon);
      float change = s.loss * p[i] + sum;
      p[i] = low ? subtract(p[i], change, low + i) : p[i] - change;
    }
  } else if (low) {
    for (size_t i = 0; i < n; i++) {
      float change = s.loss * p[i] + s.sum * a[i] / (square_root(b[i]) + s.epsilon);
      p[i] = subtract(p[i], change, low + i);
    }
  } else {
    for (size_t i = 0; i < n; i++)
      p[i] -= s.loss * p[i] + s.sum * a[i] / (square_root(b[i]) + s.epsilon);
  }
}

EK_INLINE void catch_up(EK_STRETCH, const ek_step_tile *tile, float factor,
                        const ek_missed_steps *missed) {
  (void)factor;
  catch_up_parameters(p, a, b, low, g, n, tile, missed);
}

EK_INLINE void catch_up_all(EK_STRETCH, const ek_step_tile *tile, float factor,
                            const ek_missed_steps *missed) {
  (void)factor;
  catch_up_parameters(p, a, b, low, g, n, tile, missed);
  const ek_missed_steps s = *missed;
  for (size_t i = 0; i < n; i++) {
    a[i] = s.first_whole * a[i] + s.first_part * a[i];
    b[i] = s.second_whole * b[i] + s.second_part * b[i];
  }
}

/// The missed steps and this one in one pass over registers; `behind` is a constant where this is
/// inlined, and says whether parameters have missed steps too.
EK_INLINE void adam_after_gap(EK_STRETCH, const ek_step_tile *tile, const ek_missed_steps *missed,
                              bool behind) {
  const ek_step_scalars s = tile->scalars;
  const ek_missed_steps o = *missed;
  for (size_t i = 0; i < n; i++) {
    float parameter = p[i];
    int8_t rest = low[i];
    if (behind) {
      float change = o.loss * parameter + o.sum * a[i] / (square_root(b[i]) + o.epsilon);
      parameter = subtract(parameter, change, &rest);
    }
    float m = o.first_whole * a[i] + o.first_part * a[i];
    float v = o.second_whole * b[i] + o.second_part * b[i];
    float d = s.gradient_scale * g[i] + s.coupled_decay * parameter;
    m = m + s.first_rate * (d - m);
    v = v + s.second_rate * (d * d - v);
    a[i] = m;
    b[i] = v;
    float change = s.decay * parameter + s.rate * m / (square_root(v) + s.epsilon);
    p[i] = subtract(parameter, change, &rest);
    low[i] = rest;
  }
}

/// d = g + coupled_decay * p; a += (1 - beta1) * (d - a); b += (1 - beta2) * (d * d - b);
/// p -= decay * p + rate * a / (sqrt(b) + epsilon)
EK_INLINE void adam(EK_STRETCH, const ek_step_tile *tile, float factor,
                    const ek_missed_steps *missed) {
  const ek_step_scalars s = tile->scalars;
  if (missed && missed->moments_decay) {
    bool behind = missed->from != missed->to;
    if (low && !behind) return adam_after_gap(p, a, b, low, g, n, tile, missed, false);
    if (low && !needs_terms(a, b, n, missed))
      return adam_after_gap(p, a, b, low, g, n, tile, missed, true);
    catch_up_all(p, a, b, low, g, n, tile, factor, missed);
  }
  if (low) {
    for (size_t i = 0; i < n; i++) {
      float d = s.gradient_scale * g[i] + s.coupled_decay * p[i];
      float m = a[i] + s.first_rate * (d - a[i]);
      float v = b[i] + s.second_rate * (d * d - b[i]);
      a[i] = m;
      b[i] = v;
      p[i] = subtract(p[i], s.decay * p[i] + s.rate * m / (square_root(v) + s.epsilon), low + i);
    }
  } else {
    for (size_t i = 0; i < n; i++) {
      float d = s.gradient_scale * g[i] + s.coupled_decay * p[i];
      float m = a[i] + s.first_rate * (d - a[i]);
      float v = b[i] + s.second_rate * (d * d - b[i]);
      a[i] = m;
      b[i] = v;
      p[i] -= s.decay * p[i] + s.rate * m / (square_root(v) + s.epsilon);
    }
  }
}

/// out[:n] = x[:n] + position[:n], or without a position x alone.
EK_INLINE void write_row(float *restrict out, const float *restrict x,
                         const float *restrict position, size_t n, bool streaming) {
  if (streaming) {
    for (size_t i = 0; i < n; i += 16) {
      vec value = load(x + i, lanes, 0);
      if (position) value = value + load(position + i, lanes, 0);
      put(out + i, value, lanes, true);
    }
  } else if (position) {
    for (size_t i = 0; i < n; i++) out[i] = x[i] + position[i];
  } else {
    for (size_t i = 0; i < n; i++) out[i] = x[i];
  }
}

EK_INLINE const float *position_of(const ek_step_tile *t, int32_t token) {
  return t->positions ? t->positions + (size_t)token % t->walk.context * t->dim : NULL;
}

/// x = scale * p, once p is caught up
EK_INLINE void read_block(float *restrict x, EK_STRETCH, const ek_step_tile *tile,
                          const ek_missed_steps *missed) {
  if (missed) catch_up_parameters(p, a, b, low, g, n, tile, missed);
  for (size_t i = 0; i < n; i++) x[i] = tile->scale * p[i];
}

/// Catches rows begin..<end up, not their moments, and passes them on to their tokens' output:
///
///     output[token, :] = scale * row + positions[place of token, :]
///
/// Bytes a row: D*4 read of both moments, D*4 read and written of the table and D of the residual,
/// D*4 written for each token.
EK_INLINE void read_rows(const ek_step_tile *tile, moment_form form) {
  const ek_step_tile t = *tile;
  _Alignas(64) float x[step_chunk], wide_a[step_block], wide_b[step_block];
  for (size_t k = t.begin; k < t.end; k++) {
    row_address at = find_row(&t, k, form), soon = {0};
    // A row that does not move owes nothing.
    float *p = t.table + (size_t)at.row * t.dim;
    const ek_missed_steps *missed = at.slot >= 0 && t.missed ? t.missed + k : NULL;
    if (missed && missed->from == missed->to) missed = NULL;
    if (t.prefetch_rows && k + t.prefetch_rows < t.end) {
      size_t next = k + t.prefetch_rows;
      soon = find_row(&t, next, form);
      if (soon.slot < 0) soon.p = t.table + (size_t)soon.row * t.dim;
      soon.g = position_of(&t, t.members[t.offsets[next]]);
    }
    const int32_t *members = t.members + t.offsets[k];
    size_t count = (size_t)(t.offsets[k + 1] - t.offsets[k]);
    float *out = t.output + (size_t)members[0] * t.dim;
    const float *place = position_of(&t, members[0]);
    for (size_t c = 0; c < t.dim; c += step_chunk) {
      size_t n = t.dim - c < step_chunk ? t.dim - c : step_chunk;
      for (size_t i = 0; i < n; i += step_block) {
        size_t m = n - i < step_block ? n - i : step_block;
        if (t.prefetch_rows) prefetch_block(&soon, c + i, t.near, form);
        int8_t *low = at.low ? at.low + c + i : NULL;
        float *a = wide_a, *b = wide_b;
        if (form == FLOAT_MOMENTS) {
          a = at.a + c + i, b = at.b + c + i;
        } else if (missed) {
          widen_bf16(a, at.rounded_a + c + i, m);
          widen_bf16(b, at.rounded_b + c + i, m);
        }
        if (m == step_block)
          read_block(x + i, p + c + i, a, b, low, NULL, step_block, &t, missed);
        else
          read_block(x + i, p + c + i, a, b, low, NULL, m, &t, missed);
        // Block by block, as a burst of stores past the cache would stall the loads.
        write_row(out + c + i, x + i, place ? place + c + i : NULL, m, t.streaming);
      }
      for (size_t j = 1; j < count; j++) {
        const float *position = position_of(&t, members[j]);
        write_row(t.output + (size_t)members[j] * t.dim + c, x, position ? position + c : NULL, n,
                  t.streaming);
      }
    }
  }
  if (t.streaming) fence();
}

static void step_read(const ek_step_tile *tile) {
  if (tile->rounded_first)
    read_rows(tile, ROUNDED_MOMENTS_READ);
  else
    read_rows(tile, FLOAT_MOMENTS);
}

/// Steps rows whose moments are floats or, of the form `rounded`, bfloat16.
EK_INLINE void step_adam_rows(const ek_step_tile *tile, step_update update, moment_form rounded) {
  if (tile->rounded_first)
    step_rows(tile, update, NULL, NULL, rounded);
  else
    step_rows(tile, update, NULL, NULL, FLOAT_MOMENTS);
}

static void step_adam(const ek_step_tile *tile) { step_adam_rows(tile, adam, ROUNDED_MOMENTS); }
static void step_catch_up(const ek_step_tile *tile) {
  step_adam_rows(tile, catch_up, ROUNDED_MOMENTS_READ);
}
static void step_catch_up_all(const ek_step_tile *tile) {
  step_adam_rows(tile, catch_up_all, ROUNDED_MOMENTS);
}

#endif
