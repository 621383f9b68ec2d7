// Checks of powers, of attention's softmax over tiles, and of cross-entropy: both sets against
// plain loops in double, with bounds from counting roundings.
#include "rounding.h"

/// The softmax of a row, and how many roundings each element of it has had.
typedef struct powers {
  double most, sum, of_sum;
  const float *row;
} powers;

static powers powers_of(const float *row, size_t count) {
  powers p = {-INFINITY, 0, 0, row};
  double spread = 0;
  for (size_t i = 0; i < count; i++) p.most = fmax(p.most, row[i]);
  for (size_t i = 0; i < count; i++) p.sum += exp(row[i] - p.most);
  for (size_t i = 0; i < count; i++)
    if (row[i] > -INFINITY) spread += exp(row[i] - p.most) / p.sum * (p.most - row[i]);
  p.of_sum = 4 + 3 * spread + sum_roundings(count);
  return p;
}

static double share_of(const powers *p, size_t i) { return exp(p->row[i] - p->most) / p->sum; }

static double roundings_of(const powers *p, size_t i) {
  return p->row[i] > -INFINITY ? 6 + 3 * (p->most - p->row[i]) + p->of_sum : 0;
}

void check_powers(void) {
  EACH_LENGTH(count) {
    float *logits = input(0, count * 4);
    fill_floats(logits, count, -40, 60);
    for (size_t i = 1; i < count; i += 5) logits[i] = -INFINITY;
    const powers p = powers_of(logits, count);
    begin_case();
    EACH_SET(s) {
      float *row = memcpy(result(s, 0, count * 4), logits, count * 4), most, sum;
      CALL_FOR(sum, s, powers(row, count, &most));
      near(s, "largest", 0, most, p.most, 0);
      near(s, "sum", 0, sum, p.sum, p.sum * rounding * (6 + p.of_sum));
      for (size_t i = 0; i < count; i++)
        near(s, "power", i, row[i], share_of(&p, i) * p.sum,
             share_of(&p, i) * p.sum * rounding * roundings_of(&p, i) + 2 * (double)FLT_MIN);
    }
    stay_inside("%zu elements", count);
  }
}

// MARK: Attention

enum { QUERIES = 3, DIM = 21 };

static size_t seen_by(const ek_attention_tile *t, size_t row) {
  const ptrdiff_t seen = t->visible + (ptrdiff_t)row, columns = (ptrdiff_t)t->columns;
  return t->visible >= columns || seen > columns ? t->columns : seen < 0 ? 0 : (size_t)seen;
}

/// Any tile of so many columns, some hidden and some of them minus infinity.
static ek_attention_tile draw_attention(size_t columns, int slot) {
  const ptrdiff_t ends[] = {(ptrdiff_t)columns, (ptrdiff_t)draw_below(columns + 1), -1, 1};
  ek_attention_tile t = {.stride = columns + draw_below(3),
                         .rows = QUERIES,
                         .columns = columns,
                         .visible = ends[draw_below(4)],
                         .output_stride = DIM + 2,
                         .dim = DIM};
  t.logits = input(slot, QUERIES * t.stride * 4);
  fill_floats(t.logits, QUERIES * t.stride, -40, 60);
  for (size_t i = 3; i < QUERIES * t.stride; i += 7) t.logits[i] = -INFINITY;
  return t;
}

/// Two tiles of the same queries, one after the other, and the end of them.
void check_attention_powers(void) {
  EACH_LENGTH(columns)
  for (int variant = 0; variant < 4; variant++) {
    const ek_attention_tile tiles[2] = {draw_attention(columns, 0),
                                        draw_attention(1 + draw_below(columns), 1)};
    begin_case();
    EACH_SET(s) {
      float *most = result(s, 0, QUERIES * 4), *sums = result(s, 1, QUERIES * 4);
      float *output = result(s, 2, QUERIES * (DIM + 2) * 4);
      double largest[QUERIES], total[QUERIES], of_total[QUERIES];
      for (int tile = 0; tile < 2; tile++) {
        ek_attention_tile t = tiles[tile];
        const size_t bytes = QUERIES * t.stride * 4;
        float *old = memcpy(input(2, QUERIES * (DIM + 2) * 4), output, QUERIES * (DIM + 2) * 4);
        t.logits = memcpy(result(s, 3 + tile, bytes), tiles[tile].logits, bytes);
        t.most = most, t.sums = sums, t.output = output, t.is_first = tile == 0;
        CALL(s, attention_powers(&t));
        for (size_t r = 0; r < QUERIES; r++) {
          const float *logits = tiles[tile].logits + r * t.stride;
          const size_t seen = seen_by(&t, r);
          double now = tile ? largest[r] : -INFINITY, sum = 0, of_sum = 0;
          for (size_t i = 0; i < seen; i++) now = fmax(now, logits[i]);
          const double base = now > -INFINITY ? now : 0;
          const double shrink = tile && largest[r] > -INFINITY ? exp(largest[r] - base) : 0;
          near(s, "largest", r, most[r] > -INFINITY ? most[r] : -1e9, now > -INFINITY ? now : -1e9,
               0);
          for (size_t i = 0; i < t.columns; i++) {
            const bool is_seen = i < seen && logits[i] > -INFINITY;
            const double power = is_seen ? exp(logits[i] - base) : 0;
            const double bound = is_seen ? power * (8 + 3 * (base - logits[i])) : 0;
            near(s, "power", i, t.logits[r * t.stride + i], power,
                 is_seen ? rounding * bound + 2 * (double)FLT_MIN : 0);
            sum += power, of_sum += bound;
          }
          const double of_shrink = shrink > 0 ? 10 + 3 * (base - largest[r]) : 0;
          total[r] = sum + (tile ? total[r] * shrink : 0);
          of_total[r] = of_sum + sum_roundings(columns) * sum +
                        (tile ? (of_total[r] + total[r] * of_shrink) * shrink : 0) +
                        2 * total[r] * of_shrink;
          near(s, "sum", r, sums[r], total[r], rounding * (of_total[r] + 4 * total[r]) + 1e-34);
          for (size_t i = 0; i < DIM; i++) {
            const double expected = old[r * t.output_stride + i] * (tile ? shrink : 1);
            near(s, "output", i, output[r * t.output_stride + i], expected,
                 fabs(expected) * rounding * of_shrink + (tile ? 2 * (double)FLT_MIN : 0));
          }
          largest[r] = now;
        }
      }
    }
    stay_inside("%zu columns", columns);
  }
}

void check_attention_finish(void) {
  EACH_LENGTH(dim) {
    float *sums = input(0, QUERIES * 4);
    fill_floats(sums, QUERIES, 0.5f, 9);
    begin_case();
    EACH_SET(s) {
      const size_t bytes = QUERIES * (dim + 1) * 4;
      ek_attention_tile t = {.rows = QUERIES, .output_stride = dim + 1, .dim = dim};
      float *old = memcpy(input(1, bytes), result(s, 0, bytes), bytes);
      t.output = result(s, 0, bytes);
      t.sums = memcpy(result(s, 1, QUERIES * 4), sums, QUERIES * 4);
      CALL(s, attention_finish(&t));
      for (size_t r = 0; r < QUERIES; r++) {
        near(s, "part", r, t.sums[r], 1 / (double)sums[r], rounding / sums[r]);
        for (size_t i = 0; i <= dim; i++) {
          const double before = old[r * (dim + 1) + i], after = i < dim ? before / sums[r] : before;
          near(s, "output", i, t.output[r * (dim + 1) + i], after,
               i < dim ? 2 * rounding * fabs(after) : 0);
        }
      }
    }
    stay_inside("dim %zu", dim);
  }
}

void check_attention_gradient(void) {
  EACH_LENGTH(columns)
  for (int variant = 0; variant < 4; variant++) {
    ek_attention_tile t = draw_attention(columns, 0);
    const size_t bytes = QUERIES * t.stride * 4;
    const float *logits = t.logits, *upper = input_floats(1, QUERIES * t.stride);
    float *most = input(2, QUERIES * 4), *parts = input(3, QUERIES * 4);
    t.most = most, t.sums = parts, t.means = input_floats(4, QUERIES);
    for (size_t r = 0; r < QUERIES; r++) {
      double largest = -INFINITY, sum = 0;
      for (size_t i = 0; i < seen_by(&t, r); i++) largest = fmax(largest, logits[r * t.stride + i]);
      if (largest == -INFINITY) largest = 0;
      for (size_t i = 0; i < seen_by(&t, r); i++) sum += exp(logits[r * t.stride + i] - largest);
      most[r] = (float)largest, parts[r] = sum > 0 ? (float)(1 / sum) : 1;
    }
    begin_case();
    EACH_SET(s) {
      t.logits = memcpy(result(s, 0, bytes), logits, bytes);
      t.gradient = memcpy(result(s, 1, bytes), upper, bytes);
      CALL(s, attention_gradient(&t));
      for (size_t r = 0; r < QUERIES; r++)
        for (size_t i = 0; i < columns; i++) {
          const size_t at = r * t.stride + i;
          const bool is_seen = i < seen_by(&t, r) && logits[at] > -INFINITY;
          const double p = is_seen ? exp(logits[at] - most[r]) * parts[r] : 0;
          const double of_p = is_seen ? 8 + 3 * (most[r] - logits[at]) : 0;
          const double slope = t.logits[at] == 1 ? 0 : p * ((double)upper[at] - t.means[r]);
          const double least = is_seen ? 2 * (double)FLT_MIN : 0;
          near(s, "share", i, t.logits[at], p, p * rounding * of_p + least);
          near(s, "slope", i, t.gradient[at], slope,
               fabs(slope) * rounding * (of_p + 3) + 4 * least);
        }
    }
    stay_inside("%zu columns", columns);
  }
}

// MARK: Cross-entropy

static const float ranges[][2] = {{-3, 3}, {-1e4f, 1e4f}, {9990, 1e4f}, {-1e4f, -9990}};

/// The loss of a row, whose largest logit has the roundings of the sum.
static void expect_loss(int s, const powers *p, size_t count, size_t target, float loss) {
  size_t most = 0;
  for (size_t i = 1; i < count; i++) most = p->row[i] > p->row[most] ? i : most;
  const double expected = log(p->sum) + p->most - p->row[target];
  near(s, "loss", target, loss, expected, rounding * (roundings_of(p, most) + fabs(expected)));
}

void check_cross_entropy(void) {
  EACH_LENGTH(count)
  for (size_t range = 0; range < 4; range++) {
    const size_t targets[] = {0, count / 2, count - 1, count / 3};
    float *logits = input(0, count * 4);
    fill_floats(logits, count, ranges[range][0], ranges[range][1]);
    const powers p = powers_of(logits, count);
    EACH_SET(s) {
      float loss;
      CALL_FOR(loss, s, cross_entropy(logits, count, targets[range]));
      expect_loss(s, &p, count, targets[range], loss);
    }
  }
}

void check_cross_entropy_gradient(void) {
  EACH_LENGTH(count)
  for (size_t range = 0; range < 4; range++) {
    const size_t targets[] = {0, count / 2, count - 1, count / 3}, target = targets[range];
    const float weight = 0.25f;
    float *logits = input(0, count * 4);
    fill_floats(logits, count, ranges[range][0], ranges[range][1]);
    const powers p = powers_of(logits, count);
    begin_case();
    EACH_SET(s) {
      float *row = memcpy(result(s, 0, count * 4), logits, count * 4);
      float loss;
      CALL_FOR(loss, s, cross_entropy_gradient(row, count, target, weight));
      expect_loss(s, &p, count, target, loss);
      for (size_t i = 0; i < count; i++) {
        const double share = share_of(&p, i), slope = share - (i == target);
        near(s, "gradient", i, row[i], weight * slope,
             weight * (rounding * (share * roundings_of(&p, i) + fabs(slope)) + 1e-37));
      }
    }
    stay_inside("%zu logits", count);
  }
}
