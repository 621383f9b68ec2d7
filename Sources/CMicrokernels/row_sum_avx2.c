// Sums of gathered rows, AVX2: blocks of 64 floats in 8 of the 16 registers.
//
// Bytes: each listed row read once, D*4; the output written once, D*4, and read where it is added to.
#include "row_sum.h"

#if defined(__x86_64__)
__attribute__((target("avx2"))) void ek_sum_rows_f32_avx2(const ek_row_sum *work) {
  ek_sum_rows(work, 4);
}
#endif
