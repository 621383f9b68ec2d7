// Sums of gathered rows, NEON: blocks of 64 floats in 16 of the 32 registers.
//
// Bytes: each listed row read once, D*4; the output written once, D*4, and read where it is added to.
#include "row_sum.h"

#if defined(__aarch64__)
void ek_sum_rows_f32_neon(const ek_row_sum *work) { ek_sum_rows(work, 4); }
#endif
