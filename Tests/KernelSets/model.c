// Checks of what sets may round differently, products fused into sums where there is such an
// instruction: small products, and a transformer's rows. Both sets against plain loops in double,
// with bounds from counting roundings.
#include "rounding.h"

// MARK: Products

enum { X, TABLE, PRODUCTS };

/// A tile of any size, whose result goes to one of its three arrays.
static ek_product_tile draw_products(size_t dim) {
  ek_product_tile t = {
      .rows = 1 + draw_below(6), .entries = 1 + draw_below(11), .dim = dim, .scale = 0.7f};
  t.x_stride = dim + draw_below(2) * 3;
  t.table_stride = dim + draw_below(2);
  t.stride = t.entries + draw_below(3);
  t.x = input_floats(X, t.rows * t.x_stride);
  t.table = input_floats(TABLE, t.entries * t.table_stride);
  t.products = input_floats(PRODUCTS, t.rows * t.stride);
  return t;
}

void check_products(void) {
  EACH_LENGTH(dim)
  for (int variant = 0; variant < 8; variant++) {
    ek_product_tile t = draw_products(dim);
    begin_case();
    EACH_SET(s) {
      t.products = result(s, 0, t.rows * t.stride * 4);
      CALL(s, products(&t));
      for (size_t r = 0; r < t.rows; r++)
        for (size_t e = 0; e < t.entries; e++) {
          double sum = 0, magnitude = 0;
          for (size_t i = 0; i < dim; i++) {
            const double term = (double)t.x[r * t.x_stride + i] * t.table[e * t.table_stride + i];
            sum += term, magnitude += fabs(term);
          }
          near(s, "product", r * t.entries + e, t.products[r * t.stride + e], sum * t.scale,
               ((double)dim + 2) * rounding * magnitude);
        }
    }
    stay_inside("dim %zu", dim);
  }
}

/// y[i] = the old one + scale * sum over n of w[n * w_step] * rows[n * step + i]
static void expect_mix(int s, const float *y, const float *old, const float *w, size_t w_step,
                       const float *rows, size_t step, size_t count, size_t dim, double scale) {
  for (size_t i = 0; i < dim; i++) {
    double sum = 0, magnitude = 0;
    for (size_t n = 0; n < count; n++) {
      const double term = (double)w[n * w_step] * rows[n * step + i];
      sum += term, magnitude += fabs(term);
    }
    near(s, "sum", i, y[i], old[i] + scale * sum,
         rounding * (((double)count + 3) * magnitude + 2 * fabs((double)old[i])));
  }
}

void check_combine(void) {
  EACH_LENGTH(dim)
  for (int variant = 0; variant < 8; variant++) {
    ek_product_tile t = draw_products(dim);
    const size_t bytes = t.rows * t.x_stride * 4;
    begin_case();
    EACH_SET(s) {
      float *old = memcpy(input(3, bytes), result(s, 0, bytes), bytes);
      t.x = result(s, 0, bytes);
      CALL(s, combine(&t));
      for (size_t r = 0; r < t.rows; r++)
        expect_mix(s, t.x + r * t.x_stride, old + r * t.x_stride, t.products + r * t.stride, 1,
                   t.table, t.table_stride, t.entries, dim, t.scale);
    }
    stay_inside("dim %zu", dim);
  }
}

void check_outer(void) {
  EACH_LENGTH(dim)
  for (int variant = 0; variant < 8; variant++) {
    ek_product_tile t = draw_products(dim);
    const size_t bytes = t.entries * t.table_stride * 4;
    begin_case();
    EACH_SET(s) {
      float *old = memcpy(input(3, bytes), result(s, 0, bytes), bytes);
      t.table = result(s, 0, bytes);
      CALL(s, outer(&t));
      for (size_t e = 0; e < t.entries; e++)
        expect_mix(s, t.table + e * t.table_stride, old + e * t.table_stride, t.products + e,
                   t.stride, t.x, t.x_stride, t.rows, dim, t.scale);
    }
    stay_inside("dim %zu", dim);
  }
}

/// Eight rows and more at a time, and what is left.
void check_add_product(void) {
  EACH_LENGTH(columns)
  for (size_t depth = 1; depth < 20; depth += 6) {
    const size_t stride = columns + depth % 3, bytes = columns * 4;
    const float *x = input_floats(0, depth), *rows = input_floats(1, depth * stride);
    begin_case();
    EACH_SET(s) {
      float *old = memcpy(input(2, bytes), result(s, 0, bytes), bytes);
      float *out = result(s, 0, bytes);
      CALL(s, add_product(x, rows, stride, out, depth, columns));
      expect_mix(s, out, old, x, 1, rows, stride, depth, columns, 1);
    }
    stay_inside("%zu rows of %zu columns", depth, columns);
  }
}

void check_dot_rows(void) {
  enum { rows = 3 };
  EACH_LENGTH(dim) {
    const float *x = input_floats(0, rows * (dim + 1)), *y = input_floats(1, rows * (dim + 2));
    begin_case();
    EACH_SET(s) {
      float *out = result(s, 0, rows * 4);
      CALL(s, dot_rows(x, dim + 1, y, dim + 2, out, rows, dim));
      for (size_t r = 0; r < rows; r++) {
        double sum = 0, magnitude = 0;
        for (size_t i = 0; i < dim; i++) {
          const double term = (double)x[r * (dim + 1) + i] * y[r * (dim + 2) + i];
          sum += term, magnitude += fabs(term);
        }
        near(s, "product", r, out[r], sum, (sum_roundings(dim) + 2) * rounding * magnitude);
      }
    }
    stay_inside("dim %zu", dim);
  }
}

// MARK: Normalisation

/// A row's mean, 1 over its deviation, and the mean of its magnitudes.
typedef struct moments {
  double mean, rstd, magnitude;
} moments;

static moments moments_of(const float *x, size_t dim) {
  moments m = {0, 0, 0};
  double squares = 0;
  for (size_t i = 0; i < dim; i++) m.mean += x[i], m.magnitude += fabs((double)x[i]);
  m.mean /= (double)dim, m.magnitude /= (double)dim;
  for (size_t i = 0; i < dim; i++) squares += (x[i] - m.mean) * (x[i] - m.mean);
  m.rstd = 1 / sqrt(squares / (double)dim + (double)1e-5f);
  return m;
}

/// Mean and deviation are sums; then four roundings an element, and those of the mean times what
/// the row is multiplied by.
void check_layer_norm(void) {
  enum { rows = 3 };
  EACH_LENGTH(dim) {
    float *x = input(0, rows * dim * 4);
    fill_floats(x, rows * dim, -1, 4);
    const float *gamma = input_floats(1, dim), *beta = input_floats(2, dim);
    const double k = sum_roundings(dim);
    begin_case();
    EACH_SET(s) {
      float *out = result(s, 0, rows * dim * 4), *mean = result(s, 1, rows * 4);
      float *rstd = result(s, 2, rows * 4);
      CALL(s, layer_norm(x, gamma, beta, out, mean, rstd, rows, dim, 1e-5f));
      for (size_t r = 0; r < rows; r++) {
        const moments m = moments_of(x + r * dim, dim);
        const double of_mean = k * rounding * m.magnitude;
        // The square of the mean's error adds to the variance.
        const double of_rstd = (k + 4) * rounding + of_mean * of_mean * m.rstd * m.rstd;
        near(s, "mean", r, mean[r], m.mean, of_mean);
        near(s, "rstd", r, rstd[r], m.rstd, of_rstd * m.rstd);
        for (size_t i = 0; i < dim; i++) {
          const double normal = (x[r * dim + i] - m.mean) * m.rstd;
          const double of_normal = of_mean * m.rstd + fabs(normal) * (of_rstd + 4 * rounding);
          near(s, "output", i, out[r * dim + i], normal * gamma[i] + beta[i],
               fabs((double)gamma[i]) * of_normal + fabs((double)beta[i]) * rounding);
        }
      }
    }
    stay_inside("dim %zu", dim);
  }
}

/// The backward of a row, and what rounding may do to it.
static void expect_slopes(int s, const float *found, const float *old, const float *upper,
                          const float *x, const float *gamma, size_t dim, const moments *m,
                          double *gamma_sums, double *gamma_bounds) {
  const double k = sum_roundings(dim);
  double shift = 0, share = 0, of_shift = 0, of_share = 0;
  for (size_t i = 0; i < dim; i++) {
    const double normal = (x[i] - m->mean) * m->rstd, scaled = (double)upper[i] * gamma[i];
    const double of_normal = rounding * (m->rstd * fabs(m->mean) + 3 * fabs(normal));
    shift += scaled, share += scaled * normal;
    of_shift += (k + 4) * rounding * fabs(scaled);
    of_share += (k + 2) * rounding * fabs(scaled * normal) + fabs(scaled) * of_normal;
    gamma_sums[i] += upper[i] * normal;
    gamma_bounds[i] +=
        fabs((double)upper[i]) * of_normal + 4 * rounding * (1 + fabs(upper[i] * normal));
  }
  shift /= (double)dim, share /= (double)dim, of_shift /= (double)dim, of_share /= (double)dim;
  for (size_t i = 0; i < dim; i++) {
    const double normal = (x[i] - m->mean) * m->rstd, scaled = (double)upper[i] * gamma[i];
    const double of_normal = rounding * (m->rstd * fabs(m->mean) + 3 * fabs(normal));
    const double slope = m->rstd * (scaled - shift - normal * share);
    const double bound = 4 * rounding * (fabs(scaled) + fabs(normal * share)) + of_shift +
                         fabs(share) * of_normal + fabs(normal) * of_share;
    near(s, "slope", i, found[i], old[i] + slope,
         m->rstd * bound + 2 * rounding * (fabs((double)old[i]) + fabs(slope)));
  }
}

void check_layer_norm_backward(void) {
  enum { rows = 3, most = 5025 };
  static double gamma_sums[most], gamma_bounds[most];
  EACH_LENGTH(dim) {
    float *x = input(0, rows * dim * 4), *mean = input(3, rows * 4), *rstd = input(4, rows * 4);
    fill_floats(x, rows * dim, -1, 4);
    const float *gamma = input_floats(1, dim), *upper = input_floats(2, rows * dim);
    moments m[rows];
    for (size_t r = 0; r < rows; r++) {
      m[r] = moments_of(x + r * dim, dim);
      mean[r] = (float)m[r].mean, rstd[r] = (float)m[r].rstd;
    }
    begin_case();
    EACH_SET(s) {
      const size_t bytes = rows * dim * 4;
      float *old = memcpy(input(5, bytes), result(s, 0, bytes), bytes);
      float *slopes = result(s, 0, bytes), *of_gamma = zeros(s, 1, dim * 4);
      float *of_beta = zeros(s, 2, dim * 4);
      CALL(s,
           layer_norm_backward(upper, x, gamma, mean, rstd, slopes, of_gamma, of_beta, rows, dim));
      memset(gamma_sums, 0, sizeof gamma_sums);
      memset(gamma_bounds, 0, sizeof gamma_bounds);
      for (size_t r = 0; r < rows; r++)
        expect_slopes(s, slopes + r * dim, old + r * dim, upper + r * dim, x + r * dim, gamma, dim,
                      &m[r], gamma_sums, gamma_bounds);
      for (size_t i = 0; i < dim; i++) {
        double sum = 0;
        for (size_t r = 0; r < rows; r++) sum += upper[r * dim + i];
        near(s, "gamma's gradient", i, of_gamma[i], gamma_sums[i], gamma_bounds[i]);
        near(s, "beta's gradient", i, of_beta[i], sum, 4 * rounding * 2 * rows);
      }
    }
    stay_inside("dim %zu", dim);
  }
}

// MARK: GELU

static double gelu_argument(double x) { return sqrt(2 / M_PI) * (x + 0.044715 * x * x * x); }

/// The loops in double add 1 to a hyperbolic tangent near -1.
static const double of_tanh = 0x1p-51;

void check_gelu(void) {
  EACH_LENGTH(count) {
    float *x = input(0, count * 4);
    fill_floats(x, count, -12, 12);
    begin_case();
    EACH_SET(s) {
      float *out = result(s, 0, count * 4);
      CALL(s, gelu(x, out, count));
      for (size_t i = 0; i < count; i++) {
        const double v = x[i], u = gelu_argument(v), power = 2 * fabs(u), y = v / 2 * (1 + tanh(u));
        near(s, "GELU", i, out[i], y,
             fabs(y) * rounding * (6 + 4 * power * (v < 0 ? 1 : exp(-power))) + fabs(v) * of_tanh);
      }
    }
    stay_inside("%zu elements", count);
  }
}

void check_gelu_backward(void) {
  EACH_LENGTH(count) {
    float *x = input(0, count * 4);
    fill_floats(x, count, -12, 12);
    begin_case();
    EACH_SET(s) {
      float *old = memcpy(input(1, count * 4), result(s, 0, count * 4), count * 4);
      float *slopes = result(s, 0, count * 4);
      CALL(s, gelu_backward(x, slopes, count));
      for (size_t i = 0; i < count; i++) {
        const double v = x[i], u = gelu_argument(v), t = tanh(u);
        const double steepness = sqrt(2 / M_PI) * (1 + 3 * 0.044715 * v * v);
        const double slope = 0.5 * (1 + t) + 0.5 * v * (1 - t * t) * steepness;
        // The two terms of the slope, which may cancel.
        const double part = 1 / (1 + exp(-2 * u)), terms = part + fabs(slope - part);
        near(s, "slope", i, slopes[i], old[i] * slope,
             fabs((double)old[i]) *
                 (terms * rounding * (10 + 8 * fabs(u)) + (1 + fabs(v * v * v)) * of_tanh));
      }
    }
    stay_inside("%zu elements", count);
  }
}
