// Sums of gathered rows, AVX-512: blocks of 128 floats in 8 of the 32 registers.
//
// Bytes: each listed row read once, D*4; the output written once, D*4, and read where it is added to.
#include "row_sum.h"

#if defined(__x86_64__)
__attribute__((target("avx512f"))) void ek_sum_rows_f32_avx512(const ek_row_sum *work) {
  ek_sum_rows(work, 8);
}
#endif
