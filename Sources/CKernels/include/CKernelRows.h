// Rows of a table in any format, and what the kernels on them work on.
//
// V table rows, D dim. A format packs a row's D columns into bytes, with its scales within the row,
// or in another array where they stand beside the rows.
#ifndef EMBEDKERNEL_CKERNEL_ROWS_H
#define EMBEDKERNEL_CKERNEL_ROWS_H

#include "CKernelTiles.h"

/// How a row is stored. The first three are `ek_element`'s.
typedef enum ek_row_format {
  EK_ROWS_F32,
  EK_ROWS_F16,
  EK_ROWS_BF16,
  EK_ROWS_INT8_F32,          ///< int8 (D); an fp32 scale beside.
  EK_ROWS_INT8_F16,          ///< int8 (D); an fp16 scale beside.
  EK_ROWS_FP8,               ///< fp8 e4m3 (D).
  EK_ROWS_FP8_F32,           ///< fp8 e4m3 (D); an fp32 scale beside.
  EK_ROWS_FP8_BLOCK32,       ///< fp8 e4m3 (D); a ue8m0 scale for each 32 columns beside.
  EK_ROWS_FP8_BLOCK128,      ///< The same for each 128 columns.
  EK_ROWS_FP8_BLOCK128_F32,  ///< fp8 e4m3 (D); an fp32 scale for each 128 columns beside.
  EK_ROWS_FBGEMM8,           ///< uint8 (D), fp32 scale, fp32 bias.
  EK_ROWS_FBGEMM4,           ///< uint4 (D, low bits first), fp16 scale, fp16 bias.
  EK_ROWS_Q8_0,              ///< Blocks of 32: fp16 scale, int8 (32).
  EK_ROWS_Q4_0,              ///< Blocks of 32: fp16 scale, 4 bits (32) from -8.
  EK_ROWS_Q4_K,              ///< Blocks of 256 in eight with 6 bits of scale and minimum each.
  EK_ROWS_Q6_K,              ///< Blocks of 256 in sixteen with 8 bits of scale each.
  EK_ROW_FORMATS,
} ek_row_format;

/// The rows of a table.
typedef struct EK_SAFE ek_rows {
  const void *bytes;    ///< Row r is at `bytes + r * row_bytes`.
  size_t row_bytes;     ///< From row to row.
  const void *scales;   ///< Those of row r are at `scales + (r >> scale_shift) * scale_bytes`; not
                        ///< read where the format has none beside the rows.
  size_t scale_bytes;   ///< From row to row of scales; 0: all rows have the same.
  uint8_t scale_shift;  ///< 2^scale_shift neighbouring rows share their scales.
  size_t dim;
  ek_row_format format;
} ek_rows;

/// A nest of tokens whose rows come from a table of any format.
typedef struct EK_SAFE ek_row_tile {
  ek_embed_tile rows;    ///< All but `tokens`, and pointers that address `positions` and `output`.
  ek_rows table;         ///< The token table.
  ek_element positions;  ///< How position rows are stored.
  ek_element output;     ///< How output rows are stored.
} ek_row_tile;

#endif
