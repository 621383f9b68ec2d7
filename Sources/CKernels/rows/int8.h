// int8 rows with a scale beside: column c is float(q[c]) * scale.
#ifndef EMBEDKERNEL_ROWS_INT8_H
#define EMBEDKERNEL_ROWS_INT8_H

#include "bytes.h"

#pragma STDC FP_CONTRACT OFF

/// The first `count` of 32 columns.
EK_INLINE two load_int8(const char *from, float scale, size_t count) {
  const two_bytes q = load_bytes(from, count);
  return (two){signed_floats(q.a) * scale, signed_floats(q.b) * scale};
}

#endif
