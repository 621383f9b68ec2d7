// Elements of any type, widened to floats and rounded from them: 32 a step, two vectors.
//
// With `split` the two vectors hold the even elements and the odd ones, which are neighbours in 32
// bits: bfloat16 then takes shifts and no shuffle. Both ends of a kernel agree on it.
#ifndef EMBEDKERNEL_ELEMENT_H
#define EMBEDKERNEL_ELEMENT_H

#include "CKernels.h"
#include "vector.h"

typedef uint16_t bits16 __attribute__((ext_vector_type(16)));
typedef uint16_t two_bits16 __attribute__((ext_vector_type(32)));
typedef bits16 unaligned_bits16 __attribute__((aligned(2), may_alias));
typedef bits unaligned_bits __attribute__((aligned(2), may_alias));
typedef two_bits16 unaligned_two_bits16 __attribute__((aligned(2), may_alias));

typedef struct two {
  vec a, b;
} two;

EK_LOAD_END(load_end16, bits16, uint16_t)
EK_STORE_END(store_end16, bits16, uint16_t)

EK_INLINE bits16 load16(const uint16_t *from, size_t count) {
  return count == lanes ? *(const unaligned_bits16 *)from : load_end16(from, count, 0);
}

EK_INLINE two_bits16 join16(bits16 low, bits16 high) {
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
                                 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31);
}

/// Elements of two vectors in turn: the even elements and the odd ones together.
EK_INLINE two in_turn(two v) {
  return (two){
      __builtin_shufflevector(v.a, v.b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
      __builtin_shufflevector(v.a, v.b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                              31)};
}

EK_INLINE size_t bytes_of(ek_element type) { return type == EK_F32 ? 4 : 2; }

// MARK: IEEE binary16

#if EK_WIDTH > 4 || defined(__aarch64__)
typedef _Float16 float16s __attribute__((ext_vector_type(16)));

EK_INLINE vec from_f16(bits16 elements) { return __builtin_convertvector((float16s)elements, vec); }

EK_INLINE bits16 to_f16(vec value) { return (bits16) __builtin_convertvector(value, float16s); }
#else
// By integer arithmetic, where the machine has no such conversion; not inlined, for it is long.
__attribute__((noinline)) static vec from_f16(bits16 elements) {
  const bits all = __builtin_convertvector(elements, bits);
  const bits sign = (all & 0x8000) << 16, magnitude = (all & 0x7FFF) << 13;
  const bits subnormal = (bits)(__builtin_convertvector(all & 0x3FF, vec) * 0x1p-24f);
  bits wide = magnitude < 0x00800000 ? subnormal : magnitude + 0x38000000;
  wide = magnitude >= 0x0F800000 ? magnitude | 0x70000000 : wide;
  wide = magnitude > 0x0F800000 ? wide | 0x00400000 : wide;
  return (vec)(sign | wide);
}

__attribute__((noinline)) static bits16 to_f16(vec value) {
  const bits all = (bits)value, sign = all >> 16 & 0x8000, magnitude = all & 0x7FFFFFFF;
  const bits rebased = magnitude - 0x38000000;
  // Adding 0.5 rounds to the steps of 2^-24 that subnormals have.
  const bits subnormal = (bits)((vec)magnitude + 0.5f) - 0x3F000000;
  bits narrow = magnitude < 0x38800000 ? subnormal : (rebased + 0xFFF + (rebased >> 13 & 1)) >> 13;
  narrow = magnitude >= 0x47800000 ? (bits)0x7C00 : narrow;
  narrow = magnitude > 0x7F800000 ? 0x7E00 | (magnitude >> 13 & 0x3FF) : narrow;
  return __builtin_convertvector(sign | narrow, bits16);
}
#endif

// MARK: bfloat16

/// bfloat16 in the upper half of each lane; what is below is to be cut off.
EK_INLINE bits rounded_to_bf16(vec value) {
  const bits all = (bits)value;
  const ints is_nan = value != value;
  bits up = all + 0x7FFF;
#if EK_WIDTH == 16
  // By a mask: an instruction less.
  up = (all & 0x10000) != 0 ? up + 1 : up;
#else
  up += all >> 16 & 1;
#endif
  // Rare, so that a branch is cheaper than to blend always.
  if (__builtin_expect(__builtin_reduce_or(is_nan) != 0, 0)) up = is_nan ? all | 0x400000 : up;
  return up;
}

#if defined(EK_HAS_BF16) && defined(__aarch64__)
#include "element_neon_bf16.h"
#else
EK_INLINE bits16 rounded16(vec value) {
  return __builtin_convertvector(rounded_to_bf16(value) >> 16, bits16);
}
#endif

#if defined(EK_HAS_BF16) && defined(__x86_64__)
#include "element_avx512bf16.h"
#elif !defined(EK_HAS_BF16)
EK_INLINE two_bits16 to_bf16(two v, bool split) {
  const bits a = rounded_to_bf16(v.a), b = rounded_to_bf16(v.b);
  if (split) return (two_bits16)(a >> 16 | (b & 0xFFFF0000));
  return join16(__builtin_convertvector(a >> 16, bits16), __builtin_convertvector(b >> 16, bits16));
}
#endif

// MARK: Any type

EK_INLINE vec widen(bits16 elements, ek_element type) {
  if (type == EK_F16) return from_f16(elements);
  return (vec)(__builtin_convertvector(elements, bits) << 16);
}

/// 16 even elements and 16 odd ones.
EK_INLINE two widen_pairs(bits pairs, ek_element type) {
  if (type == EK_BF16) return (two){(vec)(pairs << 16), (vec)(pairs & 0xFFFF0000)};
  return (two){from_f16(__builtin_convertvector(pairs, bits16)),
               from_f16(__builtin_convertvector(pairs >> 16, bits16))};
}

EK_INLINE bits16 narrow(vec value, ek_element type) {
  return type == EK_F16 ? to_f16(value) : rounded16(value);
}

EK_INLINE two_bits16 narrow_two(two v, ek_element type, bool split) {
  if (type == EK_BF16) return to_bf16(v, split);
  const bits16 a = to_f16(v.a), b = to_f16(v.b);
  if (split)
    return (two_bits16)(__builtin_convertvector(a, bits) | __builtin_convertvector(b, bits) << 16);
  return join16(a, b);
}

EK_INLINE vec load_one(const void *from, ek_element type, size_t count) {
  return type == EK_F32 ? load(from, count, 0) : widen(load16(from, count), type);
}

/// The first `count` elements at `from`, which are all that is read, and zeros.
EK_INLINE two load_two(const void *from, ek_element type, bool split, size_t count) {
  const char *next = (const char *)from + lanes * bytes_of(type);
  if (split) {
    if (count == 2 * lanes) return widen_pairs(*(const unaligned_bits *)from, type);
    const bits16 low = load16(from, count < lanes ? count : lanes);
    const bits16 high = count > lanes ? load_end16((const uint16_t *)next, count - lanes, 0) : 0;
    return widen_pairs((bits)join16(low, high), type);
  }
  if (count == 2 * lanes) return (two){load_one(from, type, lanes), load_one(next, type, lanes)};
  if (count < lanes) return (two){load_one(from, type, count), 0};
  return (two){load_one(from, type, lanes),
               count == lanes ? 0 : load_one(next, type, count - lanes)};
}

/// Writes the first `count` elements of 16; past the cache with `streaming`, where `to` is aligned
/// to them if they are all 16.
EK_INLINE void store_one(void *to, vec value, ek_element type, size_t count, bool streaming) {
  if (type == EK_F32) return put(to, value, count, streaming);
  const bits16 elements = narrow(value, type);
  if (count < lanes)
    store_end16(to, elements, count);
  else if (streaming)
    __builtin_nontemporal_store(elements, (bits16 *)to);
  else
    *(unaligned_bits16 *)to = elements;
}

/// The same of 32; streaming stores are whole lines.
EK_INLINE void store_two(void *to, two v, ek_element type, bool split, size_t count,
                         bool streaming) {
  char *next = (char *)to + lanes * bytes_of(type);
  if (type == EK_F32) {
    put(to, v.a, count < lanes ? count : lanes, streaming);
    if (count > lanes) put((float *)next, v.b, count - lanes, streaming);
    return;
  }
  if (type == EK_F16 && !split && !streaming && count == 2 * lanes) {
    // Machines convert to memory.
    *(unaligned_bits16 *)to = to_f16(v.a);
    *(unaligned_bits16 *)next = to_f16(v.b);
    return;
  }
  const two_bits16 elements = narrow_two(v, type, split);
  if (count == 2 * lanes && streaming)
    __builtin_nontemporal_store(elements, (two_bits16 *)to);
  else if (count == 2 * lanes)
    *(unaligned_two_bits16 *)to = elements;
  else if (count < lanes)
    store_end16(to, elements.lo, count);
  else {
    *(unaligned_bits16 *)to = elements.lo;
    store_end16((uint16_t *)next, elements.hi, count - lanes);
  }
}

#endif
