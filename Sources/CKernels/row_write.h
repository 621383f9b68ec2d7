// A row of any format, decoded and written as floats: what `embed`, and bags of one id, do to each.
//
// Whole lines go past the cache where the output is large. Rows that do not start a line are
// decoded into L1 and written from there by lines.
#ifndef EMBEDKERNEL_ROW_WRITE_H
#define EMBEDKERNEL_ROW_WRITE_H

#include "row_load.h"

#pragma STDC FP_CONTRACT OFF

enum {
  /// Columns that are decoded before they are written elsewhere: whole blocks of any format.
  decoded_columns = 256,
  /// Columns of a byte each that take a line.
  line_columns = 64,
};

/// What is added to a row, known when compiling.
typedef enum addend { NOTHING, ZERO, POSITION } addend;

/// How a row becomes an output's.
typedef struct row_place {
  const char *row, *scales;
  size_t dim;
  float scale;            ///< Multiplies a column, rounded; by 1 no number changes.
  const float *position;  ///< Of `POSITION`.
  float *out;
  bool streaming;
  const char *soon;  ///< A row to prefetch, which may be `row`.
  size_t row_bytes;
} row_place;

/// Whether a quantised row to come, of a byte a column or little more, is asked for by what is
/// written: at once it would keep the lines that are written waiting.
EK_INLINE bool comes_in_turn(ek_row_format format) {
  return format >= EK_ROWS_INT8_F32 && step_bytes(format) >= 2 * lanes;
}

/// out[i] = scale * row[column + i] + addend.
EK_INLINE void write_columns(ek_row_format format, row_place p, addend addend, size_t column,
                             size_t count, float *out, bool streaming) {
  const row_factors factors = factors_of(format, p.row, p.scales, p.dim);
  EK_EACH_TWO(count, i, n, {
    two v = load_row(format, p.row, p.scales, factors, column + i, n, false);
    if (comes_in_turn(format) && streaming && i % line_columns == 0)
      __builtin_prefetch(p.soon + i, 0, 2);
    if (format < EK_ROWS_INT8_F32 && streaming)
      prefetch(p.soon + i / (2 * lanes) * step_bytes(format), n * step_bytes(format) / (2 * lanes));
    v = (two){v.a * p.scale, v.b * p.scale};
    if (addend == ZERO) v = (two){v.a + 0.0f, v.b + 0.0f};
    if (addend == POSITION) {
      const two position = load_two(p.position + column + i, EK_F32, false, n);
      v = (two){v.a + position.a, v.b + position.b};
    }
    store_two(out + i, v, EK_F32, false, n, streaming);
  });
}

/// Floats on their way to lines of an output.
typedef struct line_writer {
  float *to;
  size_t held;
  float floats[lanes + decoded_columns + lanes] __attribute__((aligned(64)));
} line_writer;

/// Takes `count` floats more: lines that are whole are written, and at the end what is left.
__attribute__((noinline)) static void write_lines(line_writer *writer, size_t count, bool is_end) {
  const float *from = writer->floats;
  float *to = writer->to;
  count += writer->held;
  const size_t ragged = -(uintptr_t)to % 64 / sizeof *to, head = ragged < count ? ragged : count;
  if (head) store(to, load(from, head, 0), head);
  from += head, to += head, count -= head;
  for (; count >= lanes; from += lanes, to += lanes, count -= lanes)
    put(to, *(const unaligned_vec *)from, lanes, true);
  if (is_end)
    store(to, load(from, count, 0), count);
  else
    *(vec *)writer->floats = *(const unaligned_vec *)from;
  writer->to = to;
  writer->held = count;
}

/// Writes a row that does not go to lines of its own as it is decoded.
EK_INLINE void write_through(ek_row_format format, row_place p, addend addend) {
  // One loop for both, as each format has its own.
  line_writer writer;
  writer.to = p.out;
  writer.held = 0;
  size_t count = p.streaming ? decoded_columns : p.dim;
  for (size_t column = 0; column < p.dim; column += count) {
    if (count > p.dim - column) count = p.dim - column;
    float *const out = p.streaming ? writer.floats + writer.held : p.out;
    write_columns(format, p, addend, column, count, out, false);
    if (p.streaming) write_lines(&writer, count, column + count == p.dim);
  }
}

#define EK_DEFINE(format, ...)                                                               \
  /* Outlined, so that the loop over rows that do keeps its numbers in registers. */         \
  __attribute__((noinline)) static void write_through_##format(row_place p, addend addend) { \
    if (addend == POSITION)                                                                  \
      write_through(format, p, POSITION);                                                    \
    else if (addend == ZERO)                                                                 \
      write_through(format, p, ZERO);                                                        \
    else                                                                                     \
      write_through(format, p, NOTHING);                                                     \
  }
EK_ROW_FORMAT_LIST(EK_DEFINE, )
#undef EK_DEFINE

/// Writes a row, while the one that is `soon` is prefetched: by what is written, but rows of few
/// bits, which are short, and of any rows that do not go to lines, at once.
EK_INLINE void output_row(ek_row_format format, row_place p, addend addend) {
  const bool lines = p.streaming && (uintptr_t)p.out % 64 == 0;
  if (p.soon != p.row) {
    if (lines && comes_in_turn(format) && p.row_bytes > p.dim)
      prefetch(p.soon + p.dim, p.row_bytes - p.dim);
    else if (!lines || (format >= EK_ROWS_INT8_F32 && !comes_in_turn(format)))
      prefetch(p.soon, p.row_bytes);
  }
  if (p.row_bytes % 64 != 0) __builtin_prefetch(p.soon + p.row_bytes - 1, 0, 2);
  if (lines) return write_columns(format, p, addend, 0, p.dim, p.out, true);
#define EK_ACT(format) write_through_##format(p, addend)
  EK_OF_FORMAT(format, EK_ACT)
#undef EK_ACT
}

/// Rounds `count` floats, with those of a position added if there is one, to an output of any type.
__attribute__((noinline)) static void write_decoded(float *decoded, size_t count,
                                                    const char *position, ek_element positions,
                                                    char *out, ek_element output, bool streaming) {
#define EK_ADD_POSITION(type)                                                     \
  EK_EACH_TWO(count, i, n, {                                                      \
    const two v = load_two(decoded + i, EK_F32, false, n);                        \
    const two p = load_two(position + i * bytes_of(type), type, false, n);        \
    store_two(decoded + i, (two){v.a + p.a, v.b + p.b}, EK_F32, false, n, false); \
  })
  if (!position)
    ;
  else if (positions == EK_F32)
    EK_ADD_POSITION(EK_F32);
  else if (positions == EK_F16)
    EK_ADD_POSITION(EK_F16);
  else
    EK_ADD_POSITION(EK_BF16);
#undef EK_ADD_POSITION
  // A streaming store takes a whole line.
  const bool lines = streaming && (uintptr_t)out % 64 == 0;
#define EK_ROUND(type)                                             \
  EK_EACH_TWO(count, i, n, {                                       \
    const two v = load_two(decoded + i, EK_F32, false, n);         \
    store_two(out + i * bytes_of(type), v, type, false, n, lines); \
  })
  if (output == EK_F32)
    EK_ROUND(EK_F32);
  else if (output == EK_F16)
    EK_ROUND(EK_F16);
  else
    EK_ROUND(EK_BF16);
#undef EK_ROUND
}

#endif
