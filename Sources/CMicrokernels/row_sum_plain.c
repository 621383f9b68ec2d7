// Sums of gathered rows for any machine: the vectors become what the target has.
//
// Bytes: each listed row read once, D*4; the output written once, D*4, and read where it is added to.
#include "row_sum.h"

void ek_sum_rows_f32_plain(const ek_row_sum *work) { ek_sum_rows(work, 2); }
