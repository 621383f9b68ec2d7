// What the checks of kernels share: operands at the very end of readable memory, so that nothing
// behind them can be read or written unseen; results of two sets, filled alike before; and their
// comparison.
#ifndef EMBEDKERNEL_KERNEL_SETS_CHECK_H
#define EMBEDKERNEL_KERNEL_SETS_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"
#include "marks.h"

// So that all machines draw the same numbers.
#pragma STDC FP_CONTRACT OFF

enum { BOTH = 2 };

/// The plain set, and the one that is held against it.
extern const ek_kernels *sets[BOTH];

/// Runs what follows for each of the two, `s`.
#define EACH_SET(s) for (int s = 0; s < BOTH; s++)

/// Runs a kernel of set `s`, between marks.
#define CALL(s, ...)      \
  do {                    \
    if (s)                \
      MARK(MARK_OTHER);   \
    else                  \
      MARK(MARK_PLAIN);   \
    sets[s]->__VA_ARGS__; \
    MARK(MARK_END);       \
  } while (0)
/// The same of a kernel that gives a float.
#define CALL_FOR(value, s, ...)   \
  do {                            \
    if (s)                        \
      MARK(MARK_OTHER);           \
    else                          \
      MARK(MARK_PLAIN);           \
    value = sets[s]->__VA_ARGS__; \
    MARK(MARK_END);               \
  } while (0)

// MARK: Numbers

/// The next of a sequence that begins anew for each kernel.
uint32_t draw(void);
size_t draw_below(size_t bound);
float draw_float(float least, float most);
static inline bool toss(void) { return draw() & 1; }

void fill_floats(float *at, size_t count, float least, float most);
void fill_bytes(void *at, size_t count);
/// 16-bit floats of either kind below 2 in magnitude.
void fill_narrow(uint16_t *at, size_t count);

// MARK: Memory

/// `bytes` bytes that end where memory ends, and 64 bytes before them that may not be written. What
/// `slot` held is lost. Aligned to what `bytes` is a multiple of.
void *input(int slot, size_t bytes);
/// Floats of [-1, 1) there.
float *input_floats(int slot, size_t count);

/// The same for a result of set `s`: of both sets filled with the same floats of [-1, 1), and
/// compared by `agree`.
void *result(int s, int slot, size_t bytes);
/// Filled with zeros.
void *zeros(int s, int slot, size_t bytes);

// MARK: Comparison

/// Forgets the results that there are.
void begin_case(void);
/// Requires that both sets' results hold the same bits, and adds them to the kernel's digest.
__attribute__((format(printf, 1, 2))) void agree(const char *what, ...);
/// Requires that both sets' results hold nothing new before them: of kernels whose sets may differ.
__attribute__((format(printf, 1, 2))) void stay_inside(const char *what, ...);
/// Requires that `value` is within `bound` of `expected`.
void near(int s, const char *what, size_t at, double value, double expected, double bound);
/// What goes before a failure's text.
__attribute__((format(printf, 1, 2))) void fail(const char *text, ...);

/// Lengths around those of vectors, steps and blocks, and real ones; `count` of them.
extern const size_t lengths[], length_count;

/// How many bytes rows and their scales take in a format, and whether it has rows of `dim` columns.
size_t row_bytes_of(ek_row_format format, size_t dim);
size_t scale_bytes_of(ek_row_format format, size_t dim);
bool has_rows(ek_row_format format, size_t dim);
/// A table of `rows` rows whose numbers are finite, in slots `slot` and `slot + 1`.
ek_rows draw_rows(ek_row_format format, size_t rows, size_t dim, int slot);

#endif
