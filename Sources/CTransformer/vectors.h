// Vectors of 16 floats by the compiler's vector extension, one source for every instruction set: an
// includer that allows AVX-512 gets one register a vector, AVX2 two, others four.
//
// A product and a sum in one expression are contracted where the set has such an instruction.
// Everything is inlined into the operations, so that no vector is in fact passed by value.
#ifndef EMBEDKERNEL_VECTORS_H
#define EMBEDKERNEL_VECTORS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma STDC FP_CONTRACT ON
#pragma clang diagnostic ignored "-Wpsabi"

#define ET_INLINE static inline __attribute__((always_inline))

enum { lanes = 16, ways = 4 };

typedef float vec __attribute__((ext_vector_type(16)));
typedef int32_t ints __attribute__((ext_vector_type(16)));
typedef uint32_t bits __attribute__((ext_vector_type(16)));
typedef vec unaligned_vec __attribute__((aligned(4), may_alias));

/// The first `count` floats at `from`, which are all that is read, and `rest` in the other lanes.
ET_INLINE vec load(const float *from, size_t count, float rest) {
  if (count == lanes) return *(const unaligned_vec *)from;
  vec value = rest;
  memcpy(&value, from, count * sizeof *from);
  return value;
}

/// Writes the first `count` lanes.
ET_INLINE void store(float *to, vec value, size_t count) {
  if (count == lanes)
    *(unaligned_vec *)to = value;
  else
    memcpy(to, &value, count * sizeof *to);
}

/// `value` in the first `count` lanes, `rest` in the others.
ET_INLINE vec keep(vec value, size_t count, float rest) {
  const ints numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return numbers < (int32_t)count ? value : (vec)rest;
}

#define ET_ADD(a, b) ((a) + (b))
#define ET_LARGER(a, b) ((a) > (b) ? (a) : (b))

/// Puts a vector's lanes together: each half with the other, until one is left.
#define ET_FOLD(v, combine)                                     \
  ({                                                            \
    __typeof__((v).lo) eight_ = combine((v).lo, (v).hi);        \
    __typeof__(eight_.lo) four_ = combine(eight_.lo, eight_.hi); \
    __typeof__(four_.lo) two_ = combine(four_.lo, four_.hi);    \
    combine(two_.x, two_.y);                                    \
  })

/// Calls `step(at, count)` for a row of `size`, `count` elements from `at` on, 16 but at the end.
#define ET_EACH(size, at, count, ...)                                         \
  do {                                                                        \
    size_t at = 0;                                                            \
    for (; at + lanes <= (size); at += lanes) {                               \
      const size_t count = lanes;                                             \
      __VA_ARGS__;                                                            \
    }                                                                         \
    if (at < (size)) {                                                        \
      const size_t count = (size) - at;                                       \
      __VA_ARGS__;                                                            \
    }                                                                         \
  } while (0)

/// Puts the elements of the vectors `value` of a row together, `start` with nothing; in four
/// accumulators, so that the additions need not wait for each other.
#define ET_REDUCE(size, at, count, start, combine, value)     \
  ({                                                          \
    vec acc[ways] = {start, start, start, start};             \
    size_t at = 0;                                            \
    for (; at + ways * lanes <= (size);)                      \
      for (size_t way = 0; way < ways; way++, at += lanes) {  \
        const size_t count = lanes;                           \
        const vec next = (value);                             \
        acc[way] = combine(acc[way], next);                   \
      }                                                       \
    for (; at + lanes <= (size); at += lanes) {               \
      const size_t count = lanes;                             \
      const vec next = (value);                               \
      acc[0] = combine(acc[0], next);                         \
    }                                                         \
    if (at < (size)) {                                        \
      const size_t count = (size) - at;                       \
      const vec next = (value);                               \
      acc[1] = combine(acc[1], next);                         \
    }                                                         \
    acc[0] = combine(acc[0], acc[1]);                         \
    acc[2] = combine(acc[2], acc[3]);                         \
    const vec all = combine(acc[0], acc[2]);                  \
    ET_FOLD(all, combine);                                    \
  })

/// The sum of the vectors `value` over a row.
#define ET_SUM(size, at, count, value) ET_REDUCE(size, at, count, 0, ET_ADD, value)

#endif
