// Random words by Philox 4x32-10 (Salmon et al., SC 2011), 16 blocks of four at once.
#ifndef EMBEDKERNEL_PHILOX_H
#define EMBEDKERNEL_PHILOX_H

#include "vector.h"

/// Vectors of a register, as four of them are in work beside the products' halves.
typedef uint32_t words __attribute__((ext_vector_type(EK_WIDTH)));
typedef uint64_t word_pairs __attribute__((ext_vector_type(EK_WIDTH / 2)));

/// The upper and lower halves of 32-bit products.
EK_INLINE void multiply(words a, uint32_t by, words *high, words *low) {
  const uint64_t lower = 0xFFFFFFFF;
  // Hides that it is a constant: else shifts are folded into it, and products become twice as wide.
  __asm__("" : "+r"(by));
  const word_pairs even = ((word_pairs)a & lower) * (uint64_t)by;
  const word_pairs odd = ((word_pairs)a >> 32) * (uint64_t)by;
  *high = (words)((even >> 32) | (odd & ~lower));
  *low = (words)((even & lower) | (odd << 32));
}

/// words[k] = word k of blocks first, first + 1, ... first + 15. Not inlined: it is long, and
/// called from many places.
__attribute__((noinline)) static void philox(uint64_t first, uint64_t stream, uint64_t key,
                                             bits result[4]) {
  const uint32_t numbers[lanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  for (size_t at = 0; at < lanes; at += EK_WIDTH) {
    words low;
    memcpy(&low, numbers + at, sizeof low);
    low += (uint32_t)first;
    // A comparison is -1 where it holds.
    words c0 = low, c1 = (uint32_t)(first >> 32) - (words)(low < (uint32_t)first);
    words c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
      words high_a, low_a, high_b, low_b;
      multiply(c0, 0xD2511F53, &high_a, &low_a);
      multiply(c2, 0xCD9E8D57, &high_b, &low_b);
      c0 = high_b ^ c1 ^ k0;
      c1 = low_b;
      c2 = high_a ^ c3 ^ k1;
      c3 = low_a;
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    const words c[4] = {c0, c1, c2, c3};
    for (size_t k = 0; k < 4; k++) memcpy((char *)(result + k) + at * 4, c + k, sizeof c[k]);
  }
}

#endif
