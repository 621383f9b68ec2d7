// Small matrix products, written once over vectors of EK_LANES floats; an instruction set's file
// says how wide they are. Products are sums in an order of their own, so contraction is welcome.
#ifndef EMBEDKERNEL_PRODUCTS_H
#define EMBEDKERNEL_PRODUCTS_H

#include "tile.h"

#include <string.h>

typedef float ek_vec __attribute__((vector_size(EK_LANES * 4)));

#define EK_LOAD(p) ({ ek_vec v_; memcpy(&v_, (p), sizeof v_); v_; })
#define EK_STORE(p, v) do { ek_vec v_ = (v); memcpy((p), &v_, sizeof v_); } while (0)
#define EK_SUM(v) ({ ek_vec s_ = (v); float t_ = 0; for (int l_ = 0; l_ < EK_LANES; l_++) t_ += s_[l_]; t_; })

/// Defines ek_products_f32_<set>, ek_combine_f32_<set> and ek_outer_f32_<set>.
///
/// Products go by 2 vectors against 4 entries, so 6 loads feed 8 products; mixed rows go by 2
/// vectors of columns, whose sums stay in registers over all rows.
#define EK_PRODUCTS(set, target)                                                                  \
  target static void dots(const ek_product_tile *t, size_t row, size_t entry, size_t rows,        \
                          size_t entries) {                                                       \
    EK_CONTRACT                                                                                   \
    for (size_t r = row; r < row + rows; r++)                                                     \
      for (size_t e = entry; e < entry + entries; e++) {                                          \
        const float *x = t->x + r * t->x_stride, *y = t->table + e * t->table_stride;             \
        float sum = 0;                                                                            \
        for (size_t i = 0; i < t->dim; i++) sum += x[i] * y[i];                                   \
        t->products[r * t->stride + e] = sum * t->scale;                                          \
      }                                                                                           \
  }                                                                                               \
                                                                                                  \
  target void ek_products_f32_##set(const ek_product_tile *tile) {                                \
    EK_CONTRACT                                                                                   \
    const ek_product_tile t = *tile;                                                              \
    size_t r = 0, whole = t.dim / EK_LANES * EK_LANES;                                            \
    for (; r + 2 <= t.rows; r += 2) {                                                             \
      const float *x0 = t.x + r * t.x_stride, *x1 = x0 + t.x_stride;                              \
      size_t e = 0;                                                                               \
      for (; e + 4 <= t.entries; e += 4) {                                                        \
        const float *y0 = t.table + e * t.table_stride, *y1 = y0 + t.table_stride,                \
                    *y2 = y1 + t.table_stride, *y3 = y2 + t.table_stride;                         \
        ek_vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0}, s6 = {0}, s7 = {0};    \
        for (size_t i = 0; i < whole; i += EK_LANES) {                                            \
          ek_vec a = EK_LOAD(x0 + i), b = EK_LOAD(x1 + i), y;                                     \
          y = EK_LOAD(y0 + i), s0 += a * y, s4 += b * y;                                          \
          y = EK_LOAD(y1 + i), s1 += a * y, s5 += b * y;                                          \
          y = EK_LOAD(y2 + i), s2 += a * y, s6 += b * y;                                          \
          y = EK_LOAD(y3 + i), s3 += a * y, s7 += b * y;                                          \
        }                                                                                         \
        float p[8] = {EK_SUM(s0), EK_SUM(s1), EK_SUM(s2), EK_SUM(s3),                             \
                      EK_SUM(s4), EK_SUM(s5), EK_SUM(s6), EK_SUM(s7)};                            \
        for (size_t i = whole; i < t.dim; i++) {                                                  \
          p[0] += x0[i] * y0[i], p[1] += x0[i] * y1[i], p[2] += x0[i] * y2[i];                    \
          p[3] += x0[i] * y3[i], p[4] += x1[i] * y0[i], p[5] += x1[i] * y1[i];                    \
          p[6] += x1[i] * y2[i], p[7] += x1[i] * y3[i];                                           \
        }                                                                                         \
        float *out = t.products + r * t.stride + e;                                               \
        for (size_t k = 0; k < 4; k++) out[k] = p[k] * t.scale;                                   \
        for (size_t k = 0; k < 4; k++) out[t.stride + k] = p[4 + k] * t.scale;                    \
      }                                                                                           \
      dots(&t, r, e, 2, t.entries - e);                                                           \
    }                                                                                             \
    dots(&t, r, 0, t.rows - r, t.entries);                                                        \
  }                                                                                               \
                                                                                                  \
  /** y += scale * sum over n of w[n * w_step] * rows[n * step] */                                \
  target static void mix(float *y, const float *w, size_t w_step, const float *rows, size_t step, \
                         size_t count, size_t dim, float scale) {                                 \
    EK_CONTRACT                                                                                   \
    size_t i = 0;                                                                                 \
    for (; i + 2 * EK_LANES <= dim; i += 2 * EK_LANES) {                                          \
      ek_vec low = {0}, high = {0};                                                               \
      for (size_t n = 0; n < count; n++) {                                                        \
        const float *row = rows + n * step + i;                                                   \
        low += w[n * w_step] * EK_LOAD(row);                                                      \
        high += w[n * w_step] * EK_LOAD(row + EK_LANES);                                          \
      }                                                                                           \
      EK_STORE(y + i, EK_LOAD(y + i) + low * scale);                                              \
      EK_STORE(y + i + EK_LANES, EK_LOAD(y + i + EK_LANES) + high * scale);                       \
    }                                                                                             \
    for (; i < dim; i++) {                                                                        \
      float sum = 0;                                                                              \
      for (size_t n = 0; n < count; n++) sum += w[n * w_step] * rows[n * step + i];               \
      y[i] += sum * scale;                                                                        \
    }                                                                                             \
  }                                                                                               \
                                                                                                  \
  target void ek_combine_f32_##set(const ek_product_tile *t) {                                    \
    for (size_t r = 0; r < t->rows; r++)                                                          \
      mix(t->x + r * t->x_stride, t->products + r * t->stride, 1, t->table, t->table_stride,      \
          t->entries, t->dim, t->scale);                                                          \
  }                                                                                               \
                                                                                                  \
  target void ek_outer_f32_##set(const ek_product_tile *t) {                                      \
    for (size_t e = 0; e < t->entries; e++)                                                       \
      mix(t->table + e * t->table_stride, t->products + e, t->stride, t->x, t->x_stride, t->rows, \
          t->dim, t->scale);                                                                      \
  }

#define EK_CONTRACT _Pragma("clang fp contract(fast)")

#endif
