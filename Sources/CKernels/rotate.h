// Rotation of pairs of elements of any type, in floats, each product and sum rounded on its own.
//
// Bytes a row: D*4 read and D*4 written, half as many of 16-bit elements; the row of cosines and
// sines comes from cache.
#ifndef EMBEDKERNEL_ROTATE_H
#define EMBEDKERNEL_ROTATE_H

#include "element.h"

#pragma STDC FP_CONTRACT OFF

/// What stays the same from row to row.
typedef struct rotation {
  size_t pairs, partner;
  uint32_t sign;  ///< Flips the sign bit of sines: set for the inverse.
  ek_element type;
  bool streaming;
} rotation;

EK_INLINE vec flip(vec value, bits sign) { return (vec)((bits)value ^ sign); }

/// (a*c - b*s, b*c + a*s)
EK_INLINE two turn(two p, vec c, vec s) {
  const vec ac = p.a * c, bs = p.b * s, bc = p.b * c, as = p.a * s;
  return (two){ac - bs, bc + as};
}

/// The first elements of all pairs, then the second.
EK_INLINE void rotate_halves(const char *x, char *y, const float *c, const float *s, rotation r) {
  const size_t size = bytes_of(r.type), partner = r.partner * size;
  EK_EACH(r.pairs, i, n, {
    const char *from = x + i * size;
    char *to = y + i * size;
    const two p = {load_one(from, r.type, n), load_one(from + partner, r.type, n)};
    const two turned = turn(p, load(c + i, n, 0), flip(load(s + i, n, 0), r.sign));
    store_one(to, turned.a, r.type, n, r.streaming);
    store_one(to + partner, turned.b, r.type, n, r.streaming);
  });
}

/// Pairs of neighbours, the first elements of 16 pairs in one vector and the second in the other.
EK_INLINE void rotate_split_neighbours(const char *x, char *y, const float *c, const float *s,
                                       rotation r) {
  EK_EACH(r.pairs, i, n, {
    const two p = load_two(x + 4 * i, r.type, true, 2 * n);
    const two turned = turn(p, load(c + i, n, 0), flip(load(s + i, n, 0), r.sign));
    store_two(y + 4 * i, turned, r.type, true, 2 * n, r.streaming);
  });
}

#define EK_EACH_TWICE_LOW 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7
#define EK_EACH_TWICE_HIGH 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15
#define EK_SWAPPED 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14

/// Pairs of floats stay where they are, beside their partners: that takes fewer shuffles.
EK_INLINE void rotate_float_neighbours(const float *x, float *y, const float *cosines,
                                       const float *sines, rotation r) {
  // The first of a pair takes its partner with the opposite sign.
  const bits first = {0x80000000, 0, 0x80000000, 0, 0x80000000, 0, 0x80000000, 0,
                      0x80000000, 0, 0x80000000, 0, 0x80000000, 0, 0x80000000, 0};
  const bits sign = first ^ r.sign;
  EK_EACH(r.pairs, i, n, {
    const two p = load_two(x + 2 * i, EK_F32, false, 2 * n);
    const vec c = load(cosines + i, n, 0), s = load(sines + i, n, 0);
    const vec along_a = p.a * __builtin_shufflevector(c, c, EK_EACH_TWICE_LOW);
    const vec along_b = p.b * __builtin_shufflevector(c, c, EK_EACH_TWICE_HIGH);
    const vec across_a = __builtin_shufflevector(p.a, p.a, EK_SWAPPED) *
                         flip(__builtin_shufflevector(s, s, EK_EACH_TWICE_LOW), sign);
    const vec across_b = __builtin_shufflevector(p.b, p.b, EK_SWAPPED) *
                         flip(__builtin_shufflevector(s, s, EK_EACH_TWICE_HIGH), sign);
    store_two(y + 2 * i, (two){along_a + across_a, along_b + across_b}, EK_F32, false, 2 * n,
              r.streaming);
  });
}

EK_INLINE void rotate_row(const char *x, char *y, const float *c, const float *s, rotation r,
                          bool neighbours) {
  if (!neighbours)
    rotate_halves(x, y, c, s, r);
  else if (r.type == EK_F32)
    rotate_float_neighbours((const float *)x, (float *)y, c, s, r);
  else
    rotate_split_neighbours(x, y, c, s, r);
}

EK_INLINE void rotate_rows(const ek_rotary_tile *tile, ek_element type, bool neighbours,
                           bool streaming) {
  const ek_rotary_tile nest = *tile;
  const rotation r = {nest.pairs, nest.partner, nest.inverse ? 0x80000000 : 0, type, streaming};
  const size_t size = bytes_of(type);
  const size_t rest = nest.input == nest.output ? 0 : nest.rest * size;
  for (size_t o = 0; o < nest.outer.count; o++) {
    const size_t first = o * nest.outer.elements * size, step = nest.inner.elements * size;
    const char *x = (const char *)nest.input + first;
    char *y = (char *)nest.output + first;
    const float *c = nest.rows + o * nest.outer.rows;
    for (size_t i = nest.inner.count; i > 0; i--, x += step, y += step, c += nest.inner.rows) {
      rotate_row(x, y, c, c + nest.sines, r, neighbours);
      if (rest) memcpy(y + nest.rest_at * size, x + nest.rest_at * size, rest);
    }
  }
  if (streaming) fence();
}

EK_INLINE void rotate_type(const ek_rotary_tile *tile, ek_element type) {
  if (tile->neighbours && tile->streaming)
    rotate_rows(tile, type, true, true);
  else if (tile->neighbours)
    rotate_rows(tile, type, true, false);
  else if (tile->streaming)
    rotate_rows(tile, type, false, true);
  else
    rotate_rows(tile, type, false, false);
}

static void rotate(const ek_rotary_tile *tile) {
  switch (tile->type) {
    case EK_F32: return rotate_type(tile, EK_F32);
    case EK_F16: return rotate_type(tile, EK_F16);
    case EK_BF16: return rotate_type(tile, EK_BF16);
  }
}

#endif
