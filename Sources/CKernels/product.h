// Small matrix products. They are sums in an order of their own, so products are fused into sums
// where the set has such an instruction, and sets may differ in the last places.
//
// Vectors are of a register's width, since eight sums are kept in registers.
#ifndef EMBEDKERNEL_PRODUCT_H
#define EMBEDKERNEL_PRODUCT_H

#include "CKernels.h"
#include "vector.h"

#pragma clang fp contract(fast)

enum { width = EK_WIDTH };

typedef float register_vec __attribute__((vector_size(EK_WIDTH * 4)));

EK_INLINE register_vec load_register(const float *from) {
  register_vec v;
  memcpy(&v, from, sizeof v);
  return v;
}

EK_INLINE void store_register(float *to, register_vec v) { memcpy(to, &v, sizeof v); }

EK_INLINE float sum_of_register(register_vec v) {
  float sum = 0;
  for (int l = 0; l < width; l++) sum += v[l];
  return sum;
}

static void dots(const ek_product_tile *t, size_t row, size_t entry, size_t rows, size_t entries) {
  for (size_t r = row; r < row + rows; r++)
    for (size_t e = entry; e < entry + entries; e++) {
      const float *x = t->x + r * t->x_stride, *y = t->table + e * t->table_stride;
      float sum = 0;
      for (size_t i = 0; i < t->dim; i++) sum += x[i] * y[i];
      t->products[r * t->stride + e] = sum * t->scale;
    }
}

/// By 2 vectors against 4 entries, so 6 loads feed 8 products.
static void products(const ek_product_tile *tile) {
  const ek_product_tile t = *tile;
  size_t r = 0, whole = t.dim / width * width;
  for (; r + 2 <= t.rows; r += 2) {
    const float *x0 = t.x + r * t.x_stride, *x1 = x0 + t.x_stride;
    size_t e = 0;
    for (; e + 4 <= t.entries; e += 4) {
      const float *y0 = t.table + e * t.table_stride, *y1 = y0 + t.table_stride,
                  *y2 = y1 + t.table_stride, *y3 = y2 + t.table_stride;
      register_vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0}, s6 = {0}, s7 = {0};
      for (size_t i = 0; i < whole; i += width) {
        register_vec a = load_register(x0 + i), b = load_register(x1 + i), y;
        y = load_register(y0 + i), s0 += a * y, s4 += b * y;
        y = load_register(y1 + i), s1 += a * y, s5 += b * y;
        y = load_register(y2 + i), s2 += a * y, s6 += b * y;
        y = load_register(y3 + i), s3 += a * y, s7 += b * y;
      }
      float p[8] = {sum_of_register(s0), sum_of_register(s1), sum_of_register(s2),
                    sum_of_register(s3), sum_of_register(s4), sum_of_register(s5),
                    sum_of_register(s6), sum_of_register(s7)};
      for (size_t i = whole; i < t.dim; i++) {
        p[0] += x0[i] * y0[i], p[1] += x0[i] * y1[i], p[2] += x0[i] * y2[i];
        p[3] += x0[i] * y3[i], p[4] += x1[i] * y0[i], p[5] += x1[i] * y1[i];
        p[6] += x1[i] * y2[i], p[7] += x1[i] * y3[i];
      }
      float *out = t.products + r * t.stride + e;
      for (size_t k = 0; k < 4; k++) out[k] = p[k] * t.scale;
      for (size_t k = 0; k < 4; k++) out[t.stride + k] = p[4 + k] * t.scale;
    }
    dots(&t, r, e, 2, t.entries - e);
  }
  dots(&t, r, 0, t.rows - r, t.entries);
}

/// y += scale * sum over n of w[n * w_step] * rows[n * step], by 2 vectors of columns, whose sums
/// stay in registers over all rows.
static void mix(float *y, const float *w, size_t w_step, const float *rows, size_t step,
                size_t count, size_t dim, float scale) {
  size_t i = 0;
  for (; i + 2 * width <= dim; i += 2 * width) {
    register_vec low = {0}, high = {0};
    for (size_t n = 0; n < count; n++) {
      const float *row = rows + n * step + i;
      low += w[n * w_step] * load_register(row);
      high += w[n * w_step] * load_register(row + width);
    }
    store_register(y + i, load_register(y + i) + low * scale);
    store_register(y + i + width, load_register(y + i + width) + high * scale);
  }
  for (; i < dim; i++) {
    float sum = 0;
    for (size_t n = 0; n < count; n++) sum += w[n * w_step] * rows[n * step + i];
    y[i] += sum * scale;
  }
}

static void combine(const ek_product_tile *t) {
  for (size_t r = 0; r < t->rows; r++)
    mix(t->x + r * t->x_stride, t->products + r * t->stride, 1, t->table, t->table_stride,
        t->entries, t->dim, t->scale);
}

static void outer(const ek_product_tile *t) {
  for (size_t e = 0; e < t->entries; e++)
    mix(t->table + e * t->table_stride, t->products + e, t->stride, t->x, t->x_stride, t->rows,
        t->dim, t->scale);
}

#endif
