// The rotation of queries and keys by their positions, and the rotations of models that it is given
// by number: an operator takes no handle, and a graph that was compiled may outlive the module it
// came from.
//
// B batch, H heads, T context, D head dim, P rotated pairs.

#include <map>
#include <memory>
#include <mutex>

#include "tensors.h"

namespace embedkernel {

namespace {

struct Rotation {
  ek_rotary *handle = nullptr;
  ek_rotary_info info{};

  explicit Rotation(ek_rotary *made) : handle(made) {
    // As a member, so that the handle is destroyed where this fails.
    code = ek_rotary_get(handle, &info);
  }
  Rotation(const Rotation &) = delete;
  Rotation &operator=(const Rotation &) = delete;
  ~Rotation() { ek_rotary_destroy(handle); }

  int32_t code;
};

/// The rotations there are. Numbers are not given twice, so that one that was dropped is known as
/// such.
class Rotations {
 public:
  int64_t add(ek_rotary *handle) {
    auto rotation = std::make_shared<Rotation>(handle);
    check(rotation->code);
    std::lock_guard<std::mutex> guard(lock_);
    held_[++last_] = std::move(rotation);
    return last_;
  }

  std::shared_ptr<Rotation> find(int64_t number) {
    std::lock_guard<std::mutex> guard(lock_);
    auto found = held_.find(number);
    if (found == held_.end())
      throw ValueError("embedkernel: there is no rotation " + std::to_string(number) +
                       " any more, or not in this process");
    return found->second;
  }

  void remove(int64_t number) {
    std::shared_ptr<Rotation> last;
    std::lock_guard<std::mutex> guard(lock_);
    auto found = held_.find(number);
    if (found == held_.end()) return;
    last = std::move(found->second);
    held_.erase(found);
  }

 private:
  std::mutex lock_;
  std::map<int64_t, std::shared_ptr<Rotation>> held_;
  int64_t last_ = 0;
};

Rotations &rotations() {
  static auto *held = new Rotations;  // Never destroyed: tensors and threads may outlive statics.
  return *held;
}

// rotary_create(int head_dim, int rotary_dim, float base, bool interleaved) -> int
int64_t rotary_create(int64_t head_dim, int64_t rotary_dim, double base, bool interleaved) {
  ek_rotary *handle = nullptr;
  check(ek_rotary_create(head_dim, rotary_dim, base,
                         interleaved ? EK_LAYOUT_INTERLEAVED : EK_LAYOUT_HALVES, &handle));
  return rotations().add(handle);
}

// rotary_from_config(str json, str layer_type, int layout, int head_dim) -> int
int64_t rotary_from_config(std::string json, std::string layer_type, int64_t layout,
                           int64_t head_dim) {
  ek_rotary *handle = nullptr;
  check(ek_rotary_from_config(json.data(), json.size(),
                              layer_type.empty() ? nullptr : layer_type.c_str(),
                              static_cast<int32_t>(layout), head_dim, &handle));
  return rotations().add(handle);
}

// rotary_destroy(int rotation) -> ()
void rotary_destroy(int64_t rotation) { rotations().remove(rotation); }

// rotary_numbers(int rotation) -> (int, int, float, int, int, int): head dim, rotary dim, base,
// layout, axes, whether it turns backward.
std::tuple<int64_t, int64_t, double, int64_t, int64_t, int64_t> rotary_numbers(int64_t rotation) {
  auto info = rotations().find(rotation)->info;
  return {info.head_dim, info.rotary_dim, info.base, info.layout, info.axes, info.turns_backward};
}

// rotary_layer_types(str json) -> str: one a line.
std::string rotary_layer_types(std::string json) {
  size_t length = 0;
  int32_t code = ek_rotary_layer_types(json.data(), json.size(), nullptr, 0, &length);
  if (code != EK_OK && code != EK_ERROR_BUFFER_TOO_SMALL) check(code);
  std::string text(length, '\0');
  // A string has room for the closing 0.
  check(ek_rotary_layer_types(json.data(), json.size(), text.data(), length + 1, &length));
  return text;
}

// rotary_rows(int rotation, int first, int count) -> (Tensor, Tensor)
std::tuple<Tensor, Tensor> rotary_rows(int64_t rotation, int64_t first, int64_t count) {
  auto found = rotations().find(rotation);
  if (count < 0) throw ValueError("embedkernel: a count below 0");
  int64_t pairs = found->info.rotary_dim / 2;
  Tensor cosines = make({count, pairs}, ScalarType::Float);
  Tensor sines = make({count, pairs}, ScalarType::Float);
  check(ek_rotary_rows(found->handle, first, count,
                       static_cast<float *>(cosines.mutable_data_ptr()),
                       static_cast<float *>(sines.mutable_data_ptr())));
  return {std::move(cosines), std::move(sines)};
}

/// Whether the dimensions H and T of a tensor of 4 follow each other in the other order in memory,
/// as after `view(B, T, H, D).transpose(1, 2)`.
bool is_transposed(const Tensor &tensor) {
  auto sizes = tensor.sizes();
  auto strides = tensor.strides();
  return sizes[1] > 1 && sizes[2] > 1 && strides[3] == 1 && strides[1] == sizes[3] &&
         strides[2] == sizes[1] * sizes[3] &&
         (sizes[0] == 1 || strides[0] == sizes[1] * sizes[2] * sizes[3]);
}

// rotate_forward(Tensor input, int rotation, Tensor? places, Tensor? coordinates, int offset,
//   bool heads_first, int length, bool backward) -> Tensor
Tensor rotate_forward(Tensor input, int64_t rotation, std::optional<Tensor> places_given,
                      std::optional<Tensor> coordinates_given, int64_t offset, bool heads_first,
                      int64_t length, bool backward) {
  auto found = rotations().find(rotation);
  if (input.dim() != 4)
    throw ValueError(
        "embedkernel: queries and keys have 4 dimensions (batch, heads, context, head dim) or "
        "(batch, "
        "context, heads, head dim), not " +
        std::to_string(input.dim()));
  // The output is laid out as the input is, like that of PyTorch's own operators.
  bool transposed = !input.is_contiguous() && is_transposed(input);
  if (transposed) {
    input = torch::stable::transpose(input, 1, 2);
    heads_first = !heads_first;
  }
  View rows("queries or keys", std::move(input));
  int32_t dtype = float_type("queries or keys", rows.type);
  int64_t batch = rows.sizes[0], heads = rows.sizes[heads_first ? 1 : 2],
          context = rows.sizes[heads_first ? 2 : 1];
  if (rows.last() != found->info.head_dim)
    throw ValueError("embedkernel: the head dim is " + std::to_string(rows.last()) +
                     ", the rotation's " + std::to_string(found->info.head_dim));
  Places places(places_given, offset, batch, context);
  std::optional<View> coordinates = view("coordinates", coordinates_given);
  if (coordinates) {
    if (coordinates->type != ScalarType::Int)
      throw std::runtime_error("embedkernel: coordinates must be of int32");
    if (coordinates->count != found->info.axes * batch * context)
      throw ValueError("embedkernel: coordinates must be of (axes, batch, context)");
  }
  Tensor output = make(rows.sizes, 4, rows.type);
  ek_rotate_options options = EK_ROTATE_OPTIONS_INIT;
  options.direction = backward ? EK_ROTATE_BACKWARD : EK_ROTATE_FORWARD;
  options.order = heads_first ? EK_HEADS_FIRST : EK_CONTEXT_FIRST;
  options.threads = threads();
  options.place = places.get();
  options.coordinates = coordinates ? static_cast<const int32_t *>(coordinates->data) : nullptr;
  options.length = length;
  check(ek_rotate(found->handle, rows.data, output.mutable_data_ptr(), dtype, batch, heads, context,
                  &options));
  return transposed ? torch::stable::transpose(output, 1, 2) : output;
}

Tensor rotate(Tensor input, int64_t rotation, std::optional<Tensor> places,
              std::optional<Tensor> coordinates, int64_t offset, bool heads_first, int64_t length) {
  return rotate_forward(std::move(input), rotation, std::move(places), std::move(coordinates),
                        offset, heads_first, length, false);
}

}  // namespace

}  // namespace embedkernel

#define EK_ROTATE_ARGUMENTS                                                               \
  "Tensor input, int rotation, Tensor? places, Tensor? coordinates, SymInt offset, bool " \
  "heads_first, "                                                                         \
  "SymInt length"

STABLE_TORCH_LIBRARY_FRAGMENT(embedkernel, m) {
  m.def("rotary_create(int head_dim, int rotary_dim, float base, bool interleaved) -> int");
  m.def("rotary_from_config(str json, str layer_type, int layout, int head_dim) -> int");
  m.def("rotary_destroy(int rotation) -> ()");
  m.def("rotary_numbers(int rotation) -> (int, int, float, int, int, int)");
  m.def("rotary_layer_types(str json) -> str");
  m.def("rotary_rows(int rotation, int first, int count) -> (Tensor, Tensor)");
  m.def("rotate(" EK_ROTATE_ARGUMENTS ") -> Tensor");
  m.def("rotate_forward(" EK_ROTATE_ARGUMENTS ", bool backward) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(embedkernel, CompositeExplicitAutograd, m) {
  using namespace embedkernel;
  m.impl("rotary_create", TORCH_BOX(&rotary_create));
  m.impl("rotary_from_config", TORCH_BOX(&rotary_from_config));
  m.impl("rotary_destroy", TORCH_BOX(&rotary_destroy));
  m.impl("rotary_numbers", TORCH_BOX(&rotary_numbers));
  m.impl("rotary_layer_types", TORCH_BOX(&rotary_layer_types));
  m.impl("rotary_rows", TORCH_BOX(&rotary_rows));
}

STABLE_TORCH_LIBRARY_IMPL(embedkernel, CPU, m) {
  using namespace embedkernel;
  m.impl("rotate", TORCH_BOX(&rotate));
  m.impl("rotate_forward", TORCH_BOX(&rotate_forward));
}
