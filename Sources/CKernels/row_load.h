// The one list of row formats: how each gives 32 columns of a row as floats, a header each.
//
// A column is defined by one formula, each operation rounded on its own: every set gives the same
// bits. The format is known when compiling in every loop over rows (`EK_OF_FORMAT`).
#ifndef EMBEDKERNEL_ROW_LOAD_H
#define EMBEDKERNEL_ROW_LOAD_H

#include "CKernelRows.h"
#include "element.h"
#include "rows/fbgemm.h"
#include "rows/fp8.h"
#include "rows/ggml_blocks.h"
#include "rows/ggml_k.h"
#include "rows/int8.h"

#pragma STDC FP_CONTRACT OFF

/// Calls `act(format, ...)` for each format.
#define EK_ROW_FORMAT_LIST(act, ...)                                                           \
  act(EK_ROWS_F32, __VA_ARGS__) act(EK_ROWS_F16, __VA_ARGS__) act(EK_ROWS_BF16, __VA_ARGS__)   \
      act(EK_ROWS_INT8_F32, __VA_ARGS__) act(EK_ROWS_INT8_F16, __VA_ARGS__)                    \
          act(EK_ROWS_FP8, __VA_ARGS__) act(EK_ROWS_FP8_F32, __VA_ARGS__)                      \
              act(EK_ROWS_FP8_BLOCK32, __VA_ARGS__) act(EK_ROWS_FP8_BLOCK128, __VA_ARGS__)     \
                  act(EK_ROWS_FP8_BLOCK128_F32, __VA_ARGS__) act(EK_ROWS_FBGEMM8, __VA_ARGS__) \
                      act(EK_ROWS_FBGEMM4, __VA_ARGS__) act(EK_ROWS_Q8_0, __VA_ARGS__)         \
                          act(EK_ROWS_Q4_0, __VA_ARGS__) act(EK_ROWS_Q4_K, __VA_ARGS__)        \
                              act(EK_ROWS_Q6_K, __VA_ARGS__)

/// Runs `act(format)` for the format that `format_` is, known when compiling.
#define EK_OF_FORMAT(format_, act)             \
  switch (format_) {                           \
    EK_ROW_FORMAT_LIST(EK_OF_FORMAT_CASE, act) \
    default: break;                            \
  }
#define EK_OF_FORMAT_CASE(format, act) \
  case format: act(format); break;

/// Whether scales stand in another array than the rows.
EK_INLINE bool has_scales_beside(ek_row_format format) {
  return format >= EK_ROWS_INT8_F32 && format < EK_ROWS_FBGEMM8 && format != EK_ROWS_FP8;
}

/// The bytes that 32 columns take, rounded up: how far to prefetch a step.
EK_INLINE size_t step_bytes(ek_row_format format) {
  switch (format) {
    case EK_ROWS_F32: return 128;
    case EK_ROWS_F16:
    case EK_ROWS_BF16: return 64;
    case EK_ROWS_FBGEMM4: return 16;
    case EK_ROWS_Q8_0: return q8_0_bytes;
    case EK_ROWS_Q4_0: return q4_0_bytes;
    case EK_ROWS_Q4_K: return q4_k_bytes / 8;
    case EK_ROWS_Q6_K: return q6_k_bytes / 8 + 1;
    default: return 32;
  }
}

EK_INLINE const char *row_at(const ek_rows *table, size_t row) {
  return (const char *)table->bytes + row * table->row_bytes;
}

EK_INLINE const char *scales_at(const ek_rows *table, size_t row) {
  return (const char *)table->scales + (row >> table->scale_shift) * table->scale_bytes;
}

/// What is read once a row.
EK_INLINE row_factors factors_of(ek_row_format format, const char *row, const char *scales,
                                 size_t dim) {
  switch (format) {
    case EK_ROWS_INT8_F32:
    case EK_ROWS_FP8_F32: return (row_factors){scale_f32(scales), 0, 0};
    case EK_ROWS_INT8_F16: return (row_factors){scale_f16(scales), 0, 0};
    case EK_ROWS_FBGEMM8: return fbgemm8_factors(row, dim);
    case EK_ROWS_FBGEMM4: return fbgemm4_factors(row, dim);
    default: return (row_factors){0, 0, 0};
  }
}

/// Whether a step's even columns and its odd ones come for less than its halves: sums are then kept
/// so.
EK_INLINE bool is_split(ek_row_format format) {
  return format == EK_ROWS_FBGEMM4 && EK_WIDTH == 16;
}

/// 32 columns from `column` on, a multiple of 32: the first `count` of them; what the others hold
/// has no meaning. With `split` the even ones and the odd ones, of a format that `is_split`. Reads
/// nothing else of the row but its scales, and nothing past it. In formats of blocks all 32 are
/// there.
EK_INLINE two load_row(ek_row_format format, const char *row, const char *scales,
                       row_factors factors, size_t column, size_t count, bool split) {
  switch (format) {
    case EK_ROWS_F32: return load_two(row + 4 * column, EK_F32, false, count);
    case EK_ROWS_F16: return load_two(row + 2 * column, EK_F16, false, count);
    case EK_ROWS_BF16: return load_two(row + 2 * column, EK_BF16, false, count);
    case EK_ROWS_INT8_F32:
    case EK_ROWS_INT8_F16: return load_int8(row + column, factors.scale, count);
    case EK_ROWS_FP8: return load_fp8(row + column, count);
    case EK_ROWS_FP8_F32: return load_scaled_fp8(row + column, factors.scale, count);
    case EK_ROWS_FP8_BLOCK32:
      return load_scaled_fp8(row + column, scale_ue8m0(scales + column / 32), count);
    case EK_ROWS_FP8_BLOCK128:
      return load_scaled_fp8(row + column, scale_ue8m0(scales + column / 128), count);
    case EK_ROWS_FP8_BLOCK128_F32:
      return load_scaled_fp8(row + column, scale_f32(scales + column / 128 * 4), count);
    case EK_ROWS_FBGEMM8: return load_fbgemm8(row, factors, column, count);
    case EK_ROWS_FBGEMM4: return load_fbgemm4(row, factors, column, count, split);
    case EK_ROWS_Q8_0: return load_q8_0(row, column);
    case EK_ROWS_Q4_0: return load_q4_0(row, column);
    case EK_ROWS_Q4_K: return load_q4_k(row, column);
    case EK_ROWS_Q6_K: return load_q6_k(row, column);
    case EK_ROW_FORMATS: break;
  }
  __builtin_unreachable();
}

#endif
