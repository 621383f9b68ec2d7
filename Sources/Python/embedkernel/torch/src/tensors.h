// PyTorch's tensors as the C library takes them: an address, sizes and an element type, checked;
// and outputs whose memory comes from the library's buffers and goes back when the tensor dies.
#ifndef EMBEDKERNEL_TORCH_TENSORS_H
#define EMBEDKERNEL_TORCH_TENSORS_H

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>

#include "errors.h"

namespace embedkernel {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

/// A tensor's memory, sizes and type, looked up once.
struct View {
  Tensor tensor;
  void *data = nullptr;
  const int64_t *sizes = nullptr;
  int64_t rank = 0;
  int64_t count = 0;
  ScalarType type{};

  /// Takes a dense tensor on the CPU; one whose elements don't follow each other is copied.
  View(const char *name, Tensor given);
  /// Takes it as it stands, to be read by rows or written: one whose elements don't follow each
  /// other is refused, as a copy would cost a whole table in every call.
  static View as_is(const char *name, Tensor given, bool writes);

  int64_t rows() const { return sizes[0]; }
  /// Floats of a row of a table, or of what has rows.
  int64_t last() const { return sizes[rank - 1]; }

 private:
  View() = default;
  void look(const char *name);
};

/// ids (..., T) as B sequences of T: 0 and 1 dimensions are one sequence.
struct IDs : View {
  int64_t batch = 1, context = 1;
  int32_t dtype;

  IDs(const char *name, Tensor given);
};

/// A table (rows, D), contiguous.
struct Table : View {
  int32_t dtype;

  Table(const char *name, Tensor given, bool writes = false);
};

/// Where tokens stand, from a tensor of (T) or (B, T) or of what broadcasts to it, or from an
/// offset.
struct Places {
  std::optional<View> given;
  ek_positions positions;

  Places(const std::optional<Tensor> &places, int64_t offset, int64_t batch, int64_t context);
  /// NULL for 0, 1, ...
  const ek_positions *get() const { return given || positions.offset ? &positions : nullptr; }
};

/// The library's number of FLOAT32, FLOAT16 or BFLOAT16.
int32_t float_type(const char *name, ScalarType type);
/// Requires FLOAT32.
float *floats(const char *name, const View &view);
float *floats(const char *name, const std::optional<View> &view);
std::optional<View> view(const char *name, const std::optional<Tensor> &given);
/// Requires `view` to have the shape (..., last) with as many leading elements as `rows`.
void check_rows(const char *name, const View &view, int64_t rows, int64_t last);
void check_count(const char *name, const std::optional<View> &view, int64_t count);

/// A new tensor, contiguous, with arbitrary contents: large ones in a buffer of the library's pool.
Tensor make(const int64_t *sizes, int64_t rank, ScalarType type);
inline Tensor make(std::initializer_list<int64_t> sizes, ScalarType type) {
  return make(sizes.begin(), static_cast<int64_t>(sizes.size()), type);
}
/// The same, filled with 0.
Tensor make_zeros(std::initializer_list<int64_t> sizes, ScalarType type);
/// A new tensor of the sizes of `ids` and one more.
Tensor make_rows(const IDs &ids, int64_t dim, ScalarType type);

/// A buffer of the pool for as long as the value lives.
class Buffer {
 public:
  explicit Buffer(size_t bytes) { check(ek_buffer_take(bytes, &memory_)); }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  ~Buffer() { ek_buffer_release(memory_); }

  void *data() const { return memory_; }
  float *floats() const { return static_cast<float *>(memory_); }
  /// Makes the first elements a tensor, which owns the buffer from then on.
  Tensor become(std::initializer_list<int64_t> sizes, ScalarType type);

 private:
  void *memory_ = nullptr;
};

/// The threads that PyTorch lets a call use.
inline int32_t threads() {
  uint32_t count = 1;
  return torch_get_num_threads(&count) == 0 ? static_cast<int32_t>(count) : 1;
}

}  // namespace embedkernel

#endif
