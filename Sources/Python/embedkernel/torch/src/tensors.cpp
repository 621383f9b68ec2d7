// How tensors are looked at, and how outputs are made.

#include "tensors.h"

#include <cstring>

namespace embedkernel {

namespace {

/// Below it a tensor is made by PyTorch's own allocator, whose small blocks fault no pages.
constexpr size_t pooled_bytes = 64 << 10;

const char *name_of(ScalarType type) { return torch::headeronly::toString(type); }

[[noreturn]] void refuse(const char *name, const std::string &found) {
  throw std::runtime_error(std::string("embedkernel: ") + name + " " + found);
}

Tensor wrap(void *data, const int64_t *sizes, int64_t rank, ScalarType type,
            void (*release)(void *, void *)) {
  int64_t strides[16];
  int64_t stride = 1;
  for (int64_t i = rank; i-- > 0;) {
    strides[i] = stride;
    stride *= sizes[i] > 1 ? sizes[i] : 1;
  }
  AtenTensorHandle handle = nullptr;
  auto code = torch_from_blob(data, rank, sizes, strides, 0,
                              torch::stable::detail::to<int32_t>(torch::stable::detail::from(type)),
                              aoti_torch_device_type_cpu(), -1, &handle,
                              aoti_torch_layout_strided(), nullptr, 0, release, nullptr);
  if (code != 0) {
    if (release) ek_buffer_release(data);
    throw std::runtime_error("embedkernel: PyTorch made no tensor of a buffer");
  }
  return Tensor(handle);
}

void give_back(void *data, void *) { ek_buffer_release(data); }

/// The bytes of a tensor of `sizes`, of which the product must be a size.
size_t bytes_of(const int64_t *sizes, int64_t rank, ScalarType type) {
  int64_t bytes = static_cast<int64_t>(aoti_torch_dtype_element_size(
      torch::stable::detail::to<int32_t>(torch::stable::detail::from(type))));
  for (int64_t i = 0; i < rank; ++i) {
    if (sizes[i] < 0 || __builtin_mul_overflow(bytes, sizes[i], &bytes))
      throw ValueError("embedkernel: an output's size is not a number of 63 bits");
  }
  return static_cast<size_t>(bytes);
}

}  // namespace

void View::look(const char *name) {
  int32_t dtype, device, layout;
  int64_t *found = nullptr;
  auto handle = tensor.get();
  if (aoti_torch_get_device_type(handle, &device) != 0 ||
      aoti_torch_get_layout(handle, &layout) != 0 || aoti_torch_get_dtype(handle, &dtype) != 0 ||
      aoti_torch_get_dim(handle, &rank) != 0)
    refuse(name, "is no tensor");
  if (device != aoti_torch_device_type_cpu())
    refuse(name, "is on another device; EmbedKernel computes on the CPU");
  if (layout != aoti_torch_layout_strided()) refuse(name, "is not a dense tensor");
  if (rank > 15) refuse(name, "has more than 15 dimensions");
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_sizes(handle, &found));
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_numel(handle, &count));
  sizes = found;
  type = torch::stable::detail::to<ScalarType>(torch::stable::detail::from(dtype));
}

View::View(const char *name, Tensor given) : tensor(std::move(given)) {
  look(name);
  bool contiguous = true;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_is_contiguous(tensor.get(), &contiguous));
  if (!contiguous) {
    Tensor copy = make(sizes, rank, type);
    torch::stable::copy_(copy, tensor);
    tensor = std::move(copy);
    look(name);
  }
  const void *read = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(torch_get_const_data_ptr(tensor.get(), &read));
  data = const_cast<void *>(read);
}

View View::as_is(const char *name, Tensor given, bool writes) {
  View view;
  view.tensor = std::move(given);
  view.look(name);
  bool contiguous = true;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_is_contiguous(view.tensor.get(), &contiguous));
  if (!contiguous) refuse(name, "is not contiguous");
  if (writes) {
    STABLE_TORCH_ERROR_CODE_CHECK(torch_get_mutable_data_ptr(view.tensor.get(), &view.data));
  } else {
    const void *read = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(torch_get_const_data_ptr(view.tensor.get(), &read));
    view.data = const_cast<void *>(read);
  }
  return view;
}

IDs::IDs(const char *name, Tensor given) : View(name, std::move(given)) {
  if (type == ScalarType::Long)
    dtype = EK_DTYPE_INT64;
  else if (type == ScalarType::Int)
    dtype = EK_DTYPE_INT32;
  else
    refuse(name, std::string("must be of int32 or int64, not ") + name_of(type));
  if (rank > 0) {
    context = sizes[rank - 1];
    for (int64_t i = 0; i + 1 < rank; ++i) batch *= sizes[i];
  }
}

Table::Table(const char *name, Tensor given, bool writes)
    : View(View::as_is(name, std::move(given), writes)) {
  if (rank != 2) refuse(name, "must have 2 dimensions, not " + std::to_string(rank));
  dtype = float_type(name, type);
}

Places::Places(const std::optional<Tensor> &places, int64_t offset, int64_t batch, int64_t context)
    : positions{sizeof(ek_positions), EK_POSITIONS_SEQUENTIAL, EK_DTYPE_INT64, offset, nullptr, 0} {
  if (!places) return;
  given.emplace("position ids", *places);
  if (given->type != ScalarType::Long && given->type != ScalarType::Int)
    refuse("position ids", std::string("must be of int32 or int64, not ") + name_of(given->type));
  if (offset != 0) throw ValueError("embedkernel: position ids and an offset exclude each other");
  bool fits = given->count == batch * context || given->count == context;
  if (!fits || (given->rank > 0 && given->last() != context && given->count > 1))
    throw ValueError("embedkernel: position ids must have the ids' shape, or one place a column: " +
                     std::to_string(given->count) + " for a batch of " + std::to_string(batch) +
                     " x " + std::to_string(context));
  positions.kind = EK_POSITIONS_EXPLICIT;
  positions.dtype = given->type == ScalarType::Long ? EK_DTYPE_INT64 : EK_DTYPE_INT32;
  positions.data = given->data;
  positions.count = given->count;
}

int32_t float_type(const char *name, ScalarType type) {
  switch (type) {
    case ScalarType::Float: return EK_DTYPE_FLOAT32;
    case ScalarType::Half: return EK_DTYPE_FLOAT16;
    case ScalarType::BFloat16: return EK_DTYPE_BFLOAT16;
    default:
      refuse(name, std::string("must be of float32, float16 or bfloat16, not ") + name_of(type));
  }
}

float *floats(const char *name, const View &view) {
  if (view.type != ScalarType::Float)
    refuse(name, std::string("must be of float32, not ") + name_of(view.type));
  return static_cast<float *>(view.data);
}

float *floats(const char *name, const std::optional<View> &view) {
  return view ? floats(name, *view) : nullptr;
}

std::optional<View> view(const char *name, const std::optional<Tensor> &given) {
  if (!given) return std::nullopt;
  return std::optional<View>(std::in_place, name, *given);
}

void check_rows(const char *name, const View &view, int64_t rows, int64_t last) {
  if (view.rank < 1 || view.last() != last || view.count != rows * last)
    throw ValueError(std::string("embedkernel: ") + name + " has " + std::to_string(view.count) +
                     " elements, not " + std::to_string(rows) + " rows of " + std::to_string(last));
}

void check_count(const char *name, const std::optional<View> &view, int64_t count) {
  if (view && view->count != count)
    throw ValueError(std::string("embedkernel: ") + name + " has " + std::to_string(view->count) +
                     " elements, not " + std::to_string(count));
}

Tensor make(const int64_t *sizes, int64_t rank, ScalarType type) {
  size_t bytes = bytes_of(sizes, rank, type);
  if (bytes >= pooled_bytes) {
    void *memory = nullptr;
    check(ek_buffer_take(bytes, &memory));
    return wrap(memory, sizes, rank, type, give_back);
  }
  int64_t strides[16];
  int64_t stride = 1;
  for (int64_t i = rank; i-- > 0;) {
    strides[i] = stride;
    stride *= sizes[i] > 1 ? sizes[i] : 1;
  }
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      rank, sizes, strides, torch::stable::detail::to<int32_t>(torch::stable::detail::from(type)),
      aoti_torch_device_type_cpu(), -1, &handle));
  return Tensor(handle);
}

Tensor make_zeros(std::initializer_list<int64_t> sizes, ScalarType type) {
  Tensor tensor = make(sizes, type);
  size_t bytes = bytes_of(sizes.begin(), static_cast<int64_t>(sizes.size()), type);
  if (bytes > 0) std::memset(tensor.data_ptr(), 0, bytes);
  return tensor;
}

Tensor make_rows(const IDs &ids, int64_t dim, ScalarType type) {
  int64_t sizes[16];
  for (int64_t i = 0; i < ids.rank; ++i) sizes[i] = ids.sizes[i];
  sizes[ids.rank] = dim;
  return make(sizes, ids.rank + 1, type);
}

Tensor Buffer::become(std::initializer_list<int64_t> sizes, ScalarType type) {
  void *memory = memory_;
  memory_ = nullptr;
  return wrap(memory, sizes.begin(), static_cast<int64_t>(sizes.size()), type, give_back);
}

}  // namespace embedkernel
