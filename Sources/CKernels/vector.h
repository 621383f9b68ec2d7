// Vectors of 16 floats by the compiler's vector extension, the one dialect that every kernel is
// written in: a set whose file allows AVX-512 gets one register a vector, AVX2 two, others four.
//
// Everything is inlined into the kernels, so that no vector is in fact passed by value. Whether a
// product and a sum are fused is each kernel's choice, a pragma at the head of its file; nothing
// here has both.
#ifndef EMBEDKERNEL_VECTOR_H
#define EMBEDKERNEL_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma clang diagnostic ignored "-Wpsabi"

/// Inlined whatever its size; without optimisation that would only make the kernels large, and with
/// a sanitizer's checks take minutes to compile.
#if defined(__OPTIMIZE__) && !__has_feature(address_sanitizer)
#define EK_INLINE static inline __attribute__((always_inline))
#else
#define EK_INLINE static inline
#endif

enum {
  lanes = 16,
  ways = 4,  ///< Accumulators of a sum whose order is free.
  /// Vectors that fill half the registers, or a quarter where there are many: sums of a block of
  /// columns.
  block_vectors = EK_REGISTERS * EK_WIDTH / 32 < 8 ? EK_REGISTERS * EK_WIDTH / 32 : 8,
};

typedef float vec __attribute__((ext_vector_type(16)));
typedef int32_t ints __attribute__((ext_vector_type(16)));
typedef uint32_t bits __attribute__((ext_vector_type(16)));
typedef vec unaligned_vec __attribute__((aligned(4), may_alias));

/// Lanes that are among the first `count`.
EK_INLINE ints first_lanes(size_t count) {
  const ints numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return numbers < (int32_t)count;
}

/// `value` in the first `count` lanes, `rest` in the others.
EK_INLINE vec keep(vec value, size_t count, float rest) {
  return first_lanes(count) ? value : (vec)rest;
}

/// Defines how the end of a row is loaded, less than 16 elements, with `rest` in the other lanes:
/// by pieces of 8, 4, 2 and 1, as a call of memcpy takes longer.
#define EK_LOAD_END(load_end, vector, element)                                 \
  EK_INLINE vector load_end(const element *from, size_t count, element rest) { \
    vector all = rest;                                                         \
    __typeof__(all.lo) eight = rest;                                           \
    __typeof__(eight.lo) four = rest;                                          \
    __typeof__(four.lo) two;                                                   \
    if (count & 1) four.x = from[count & 14];                                  \
    if (count & 2) {                                                           \
      memcpy(&two, from + (count & 12), sizeof two);                           \
      four.hi = four.lo;                                                       \
      four.lo = two;                                                           \
    }                                                                          \
    eight.lo = four;                                                           \
    if (count & 4) {                                                           \
      memcpy(&four, from + (count & 8), sizeof four);                          \
      eight.hi = eight.lo;                                                     \
      eight.lo = four;                                                         \
    }                                                                          \
    all.lo = eight;                                                            \
    if (count & 8) {                                                           \
      memcpy(&eight, from, sizeof eight);                                      \
      all.hi = all.lo;                                                         \
      all.lo = eight;                                                          \
    }                                                                          \
    return all;                                                                \
  }

/// Defines how it is stored.
#define EK_STORE_END(store_end, vector, element)                      \
  EK_INLINE void store_end(element *to, vector value, size_t count) { \
    __typeof__(value.lo) eight = value.lo;                            \
    if (count & 8) {                                                  \
      memcpy(to, &eight, sizeof eight);                               \
      eight = value.hi;                                               \
    }                                                                 \
    __typeof__(eight.lo) four = eight.lo;                             \
    if (count & 4) {                                                  \
      memcpy(to + (count & 8), &four, sizeof four);                   \
      four = eight.hi;                                                \
    }                                                                 \
    __typeof__(four.lo) two = four.lo;                                \
    if (count & 2) {                                                  \
      memcpy(to + (count & 12), &two, sizeof two);                    \
      two = four.hi;                                                  \
    }                                                                 \
    if (count & 1) to[count & 14] = two.x;                            \
  }

#if EK_WIDTH == 16
#include "vector_avx512.h"
#else
EK_STORE_END(store_end, vec, float)
#endif

#if EK_WIDTH == 8
#include "vector_avx2.h"
#else
#if EK_WIDTH == 4
EK_LOAD_END(load_end, vec, float)
#endif

EK_INLINE void store_whole(float *to, vec value) { *(unaligned_vec *)to = value; }
#endif

/// The first `count` floats at `from`, which are all that is read, and `rest` in the other lanes.
EK_INLINE vec load(const float *from, size_t count, float rest) {
  return count == lanes ? *(const unaligned_vec *)from : load_end(from, count, rest);
}

/// Writes the first `count` lanes.
EK_INLINE void store(float *to, vec value, size_t count) {
  if (count == lanes)
    store_whole(to, value);
  else
    store_end(to, value, count);
}

/// The same, past the cache with `streaming`: `to` is then aligned to the vector where that is
/// whole.
EK_INLINE void put(float *to, vec value, size_t count, bool streaming) {
  if (streaming && count == lanes)
    __builtin_nontemporal_store(value, (vec *)(void *)to);
  else
    store(to, value, count);
}

/// Makes streaming stores visible before whatever is stored next.
EK_INLINE void fence(void) {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

/// Brings a stretch of a row to come into L1 if it is `near`, else into L2.
EK_INLINE void prefetch_to(const void *from, size_t bytes, bool near) {
  for (size_t k = 0; k < bytes; k += 64) {
    if (near)
      __builtin_prefetch((const char *)from + k, 0, 3);
    else
      __builtin_prefetch((const char *)from + k, 0, 2);
  }
}

/// The same into L2, not L1, where it would push out the rows in use.
EK_INLINE void prefetch(const void *from, size_t bytes) { prefetch_to(from, bytes, false); }

#define EK_ADD(a, b) ((a) + (b))
#define EK_LARGER(a, b) ((a) > (b) ? (a) : (b))

/// Puts a vector's lanes together: each half with the other, until one is left.
#define EK_FOLD(v, combine)                                      \
  ({                                                             \
    __typeof__((v).lo) eight_ = combine((v).lo, (v).hi);         \
    __typeof__(eight_.lo) four_ = combine(eight_.lo, eight_.hi); \
    __typeof__(four_.lo) two_ = combine(four_.lo, four_.hi);     \
    combine(two_.x, two_.y);                                     \
  })

/// Runs a step for `at` and `count` over a row of `size`: `count` elements from `at` on, `step` of
/// them but at the end.
#define EK_EACH_STEP(step, size, at, count, ...)                   \
  do {                                                             \
    const size_t size_ = (size), whole_ = size_ / (step) * (step); \
    size_t at = 0;                                                 \
    for (; at < whole_; at += (step)) {                            \
      const size_t count = (step);                                 \
      __VA_ARGS__;                                                 \
    }                                                              \
    if (at < size_) {                                              \
      const size_t count = size_ % (step);                         \
      __VA_ARGS__;                                                 \
    }                                                              \
  } while (0)

/// The same by single vectors, and by two.
#define EK_EACH(size, at, count, ...) EK_EACH_STEP(lanes, size, at, count, __VA_ARGS__)
#define EK_EACH_TWO(size, at, count, ...) EK_EACH_STEP(2 * lanes, size, at, count, __VA_ARGS__)

/// Puts the elements of the vectors `value` of a row together, `start` with nothing; in four
/// accumulators, so that the additions need not wait for each other.
#define EK_REDUCE(size, at, count, start, combine, value)    \
  ({                                                         \
    vec acc[ways] = {start, start, start, start};            \
    size_t at = 0;                                           \
    for (; at + ways * lanes <= (size);)                     \
      for (size_t way = 0; way < ways; way++, at += lanes) { \
        const size_t count = lanes;                          \
        const vec next = (value);                            \
        acc[way] = combine(acc[way], next);                  \
      }                                                      \
    for (; at + lanes <= (size); at += lanes) {              \
      const size_t count = lanes;                            \
      const vec next = (value);                              \
      acc[0] = combine(acc[0], next);                        \
    }                                                        \
    if (at < (size)) {                                       \
      const size_t count = (size) - at;                      \
      const vec next = (value);                              \
      acc[1] = combine(acc[1], next);                        \
    }                                                        \
    acc[0] = combine(acc[0], acc[1]);                        \
    acc[2] = combine(acc[2], acc[3]);                        \
    const vec all = combine(acc[0], acc[2]);                 \
    EK_FOLD(all, combine);                                   \
  })

/// The sum of the vectors `value` over a row.
#define EK_SUM(size, at, count, value) EK_REDUCE(size, at, count, 0, EK_ADD, value)

#endif
