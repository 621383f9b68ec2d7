// What the operators of embeddings and of bags share: output gradients in floats, gradients in the
// type of their table, and rows that are brought up to date before they are read.
#ifndef EMBEDKERNEL_TORCH_GRADIENTS_H
#define EMBEDKERNEL_TORCH_GRADIENTS_H

#include <optional>

#include "lazy_rows.h"
#include "tensors.h"

namespace embedkernel {

/// Brings the rows that are read next up to date, where an optimiser has left rows behind.
inline void bring_up_rows(const Table &table, const IDs &ids) {
  if (__builtin_expect(lazy_tables.load(std::memory_order_relaxed) != 0, 0))
    bring_up(table.data, ids.data, ids.dtype == EK_DTYPE_INT64 ? 8 : 4, ids.count);
}

/// An output gradient in floats: a copy where it is of 16-bit elements.
struct OutputGradient {
  View given;
  std::optional<Buffer> widened;
  const float *data;

  OutputGradient(Tensor gradient, int64_t rows)
      : given("the output's gradient", std::move(gradient)) {
    if (given.rank < 1) throw ValueError("embedkernel: the output's gradient has no rows");
    check_rows("the output's gradient", given, rows, given.last());
    if (given.type == ScalarType::Float) {
      data = static_cast<const float *>(given.data);
      return;
    }
    int32_t dtype = float_type("the output's gradient", given.type);
    widened.emplace(static_cast<size_t>(given.count) * sizeof(float));
    check(ek_convert(given.data, dtype, widened->floats(), EK_DTYPE_FLOAT32, given.count));
    data = widened->floats();
  }
};

/// Rows of floats as a tensor of `type`, which takes the buffer where that is float.
inline Tensor narrowed(Buffer &rows, int64_t count, int64_t dim, ScalarType type) {
  if (type == ScalarType::Float) return rows.become({count, dim}, type);
  Tensor result = make({count, dim}, type);
  check(ek_convert(rows.floats(), EK_DTYPE_FLOAT32, result.mutable_data_ptr(),
                   float_type("a gradient", type), count * dim));
  return result;
}

}  // namespace embedkernel

#endif
