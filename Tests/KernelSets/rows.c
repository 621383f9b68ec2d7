// Tables of every row format with finite numbers.
#include "check.h"

size_t row_bytes_of(ek_row_format format, size_t dim) {
  switch (format) {
    case EK_ROWS_F32: return 4 * dim;
    case EK_ROWS_F16:
    case EK_ROWS_BF16: return 2 * dim;
    case EK_ROWS_FBGEMM8: return dim + 8;
    case EK_ROWS_FBGEMM4: return (dim + 1) / 2 + 4;
    case EK_ROWS_Q8_0: return dim / 32 * 34;
    case EK_ROWS_Q4_0: return dim / 32 * 18;
    case EK_ROWS_Q4_K: return dim / 256 * 144;
    case EK_ROWS_Q6_K: return dim / 256 * 210;
    default: return dim;
  }
}

size_t scale_bytes_of(ek_row_format format, size_t dim) {
  switch (format) {
    case EK_ROWS_INT8_F32:
    case EK_ROWS_FP8_F32: return 4;
    case EK_ROWS_INT8_F16: return 2;
    case EK_ROWS_FP8_BLOCK32: return (dim + 31) / 32;
    case EK_ROWS_FP8_BLOCK128: return (dim + 127) / 128;
    case EK_ROWS_FP8_BLOCK128_F32: return (dim + 127) / 128 * 4;
    default: return 0;
  }
}

bool has_rows(ek_row_format format, size_t dim) {
  if (format == EK_ROWS_Q4_K || format == EK_ROWS_Q6_K) return dim % 256 == 0;
  return format < EK_ROWS_Q8_0 || dim % 32 == 0;
}

static void put_float(char *at, float least, float most) {
  const float value = draw_float(least, most);
  memcpy(at, &value, sizeof value);
}

/// A binary16 of ordinary size.
static void put_half(char *at) {
  const uint16_t half = (uint16_t)(draw() >> 9) & 0xBFFF;
  memcpy(at, &half, sizeof half);
}

/// Scales within the row, over the bytes that were drawn.
static void put_scales(ek_row_format format, char *row, size_t dim) {
  const size_t bytes = row_bytes_of(format, dim);
  switch (format) {
    case EK_ROWS_FBGEMM8: put_float(row + dim, 0, 0.01f), put_float(row + dim + 4, -1, 1); break;
    case EK_ROWS_FBGEMM4: put_half(row + bytes - 4), put_half(row + bytes - 2); break;
    case EK_ROWS_Q8_0:
      for (size_t at = 0; at < bytes; at += 34) put_half(row + at);
      break;
    case EK_ROWS_Q4_0:
      for (size_t at = 0; at < bytes; at += 18) put_half(row + at);
      break;
    case EK_ROWS_Q4_K:
      for (size_t at = 0; at < bytes; at += 144) put_half(row + at), put_half(row + at + 2);
      break;
    case EK_ROWS_Q6_K:
      for (size_t at = 0; at < bytes; at += 210) put_half(row + at + 208);
      break;
    default: break;
  }
}

ek_rows draw_rows(ek_row_format format, size_t rows, size_t dim, int slot) {
  const size_t bytes = row_bytes_of(format, dim), scale_bytes = scale_bytes_of(format, dim);
  const uint8_t shift = draw_below(3) == 0;
  const size_t scale_rows = (rows + shift) >> shift;
  char *table = input(slot, rows * bytes), *scales = input(slot + 1, scale_rows * scale_bytes);
  if (format == EK_ROWS_F32)
    fill_floats((float *)(void *)table, rows * dim, -1, 1);
  else if (format == EK_ROWS_F16 || format == EK_ROWS_BF16)
    fill_narrow((uint16_t *)(void *)table, rows * dim);
  else
    fill_bytes(table, rows * bytes);
  // No NaN of fp8: of two that are added, machines keep either. `check_decode_row` has all bytes.
  for (size_t i = 0;
       format >= EK_ROWS_FP8 && format <= EK_ROWS_FP8_BLOCK128_F32 && i < rows * bytes; i++)
    if ((table[i] & 0x7F) == 0x7F) table[i] ^= 1;
  for (size_t row = 0; row < rows; row++) put_scales(format, table + row * bytes, dim);
  for (size_t at = 0; at < scale_rows * scale_bytes; at++) {
    if (format == EK_ROWS_INT8_F16) {
      if (at % 2 == 0) put_half(scales + at);
    } else if (format == EK_ROWS_FP8_BLOCK32 || format == EK_ROWS_FP8_BLOCK128) {
      // 0 is the subnormal 2^-127.
      scales[at] = (char)(draw_below(16) ? 96 + draw_below(48) : 0);
    } else if (at % 4 == 0) {
      put_float(scales + at, 0, 0.1f);
    }
  }
  return (ek_rows){.bytes = table,
                   .row_bytes = bytes,
                   .scales = scales,
                   .scale_bytes = draw_below(8) ? scale_bytes : 0,
                   .scale_shift = shift,
                   .dim = dim,
                   .format = format};
}
