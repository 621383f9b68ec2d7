// What the formats of rows share: bytes loaded and widened, and scales.
#ifndef EMBEDKERNEL_ROWS_BYTES_H
#define EMBEDKERNEL_ROWS_BYTES_H

#include "../element.h"

typedef uint8_t bytes16 __attribute__((ext_vector_type(16)));
typedef int8_t signed16 __attribute__((ext_vector_type(16)));

/// 32 bytes.
typedef struct two_bytes {
  bytes16 a, b;
} two_bytes;

EK_LOAD_END(load_end8, bytes16, uint8_t)

/// The first `count` bytes of 16, which are all that is read, and zeros.
EK_INLINE bytes16 load_byte(const char *from, size_t count) {
  bytes16 all;
  if (count < lanes) return load_end8((const uint8_t *)from, count, 0);
  memcpy(&all, from, sizeof all);
  return all;
}

/// The same of 32.
EK_INLINE two_bytes load_bytes(const char *from, size_t count) {
  if (count < lanes) return (two_bytes){load_byte(from, count), 0};
  return (two_bytes){load_byte(from, lanes), load_byte(from + lanes, count - lanes)};
}

/// Bytes as floats; exact.
EK_INLINE vec floats(bytes16 bytes) {
  return __builtin_convertvector(__builtin_convertvector(bytes, ints), vec);
}

EK_INLINE vec signed_floats(bytes16 bytes) {
  return __builtin_convertvector(__builtin_convertvector((signed16)bytes, ints), vec);
}

/// 0 to 15, the levels of 4 bits.
EK_INLINE vec sixteen_levels(void) {
  return (vec){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
}

/// numbers[level % 16] of each lane: where a register holds all sixteen, what levels stand for is
/// computed once.
#if EK_WIDTH == 16
EK_INLINE vec look_up(bits levels, vec numbers) {
  return _mm512_permutexvar_ps((__m512i)levels, numbers);
}
#endif

/// What a row's columns have in common, read once a row.
typedef struct row_factors {
  float scale, bias;
  vec numbers;  ///< What sixteen levels stand for.
} row_factors;

EK_INLINE float scale_f32(const char *at) {
  float scale;
  memcpy(&scale, at, sizeof scale);
  return scale;
}

/// An fp16 as a float; a NaN becomes quiet.
EK_INLINE float scale_f16(const char *at) {
  uint16_t half;
  memcpy(&half, at, sizeof half);
#if EK_WIDTH > 4
  // By way of a whole register: compilers would insert the half into one that a loop's last turn
  // has written, and wait for that.
  int32_t whole = half;
  __asm__("" : "+r"(whole));
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(whole)));
#elif defined(__aarch64__)
  _Float16 scale;
  memcpy(&scale, &half, sizeof scale);
  return (float)scale;
#else
  const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t magnitude = (uint32_t)(half & 0x7FFF) << 13;
  if (magnitude >= 0x0F800000)
    magnitude |= magnitude > 0x0F800000 ? 0x70400000 : 0x70000000;
  else if (magnitude >= 0x00800000)
    magnitude += 0x38000000;
  else {
    const float subnormal = (float)(half & 0x3FF) * 0x1p-24f;
    memcpy(&magnitude, &subnormal, sizeof magnitude);
  }
  magnitude |= sign;
  float scale;
  memcpy(&scale, &magnitude, sizeof scale);
  return scale;
#endif
}

/// The same in all lanes.
EK_INLINE vec scales_f16(const char *at) {
#if EK_WIDTH == 16
  // Spread first, which takes a load and no shuffle.
  int16_t half;
  memcpy(&half, at, sizeof half);
  return _mm512_cvtph_ps(_mm256_set1_epi16(half));
#else
  return scale_f16(at);
#endif
}

#endif
