// The embedding's operators: token rows gathered and position rows added, the gradients of both
// tables, and the renormalisation of rows.
//
// B batch, T context, N = B*T tokens, V vocabulary, D dim.

#include <cmath>
#include <cstring>

#include "gradients.h"
#include "lazy_rows.h"
#include "tensors.h"

namespace embedkernel {

namespace {

// embed_forward(Tensor ids, Tensor tokens, Tensor? positions, Tensor? places, int offset, float
// scale)
//   -> Tensor
Tensor embed_forward(Tensor ids_given, Tensor tokens_given, std::optional<Tensor> positions_given,
                     std::optional<Tensor> places_given, int64_t offset, double scale) {
  IDs ids("token ids", std::move(ids_given));
  Table tokens("the token table", std::move(tokens_given));
  std::optional<Table> positions;
  if (positions_given) {
    positions.emplace("the position table", std::move(*positions_given));
    if (positions->dtype != tokens.dtype)
      throw std::runtime_error("embedkernel: the token and the position table differ in dtype");
    if (positions->last() != tokens.last())
      throw ValueError("embedkernel: rows of the position table have " +
                       std::to_string(positions->last()) + " elements, the tokens' " +
                       std::to_string(tokens.last()));
  }
  Places places(places_given, offset, ids.batch, ids.context);
  bring_up_rows(tokens, ids);
  Tensor output = make_rows(ids, tokens.last(), tokens.type);
  ek_embed_options options = EK_EMBED_OPTIONS_INIT;
  options.scale = static_cast<float>(scale);
  options.threads = threads();
  options.place = places.get();
  check(ek_embed(ids.data, ids.dtype, ids.batch, ids.context, tokens.data, tokens.dtype,
                 tokens.rows(), tokens.last(), positions ? positions->data : nullptr,
                 positions ? positions->rows() : 0, output.mutable_data_ptr(), tokens.dtype,
                 &options));
  return output;
}

Tensor embed(Tensor ids, Tensor tokens, std::optional<Tensor> positions,
             std::optional<Tensor> places, int64_t offset, double scale, int64_t, bool, bool) {
  return embed_forward(std::move(ids), std::move(tokens), std::move(positions), std::move(places),
                       offset, scale);
}

ek_backward_options backward_options(double scale, int64_t padding, bool by_frequency,
                                     const Places &places) {
  ek_backward_options options = EK_BACKWARD_OPTIONS_INIT;
  options.scale = static_cast<float>(scale);
  options.padding_id = padding;
  options.frequency = by_frequency ? EK_FREQUENCY_INVERSE : EK_FREQUENCY_NONE;
  options.threads = threads();
  options.place = places.get();
  return options;
}

/// The touched rows of the token table's gradient, in floats, and with them the position table's.
struct SparseRows {
  Buffer rows, values;
  int64_t count = 0;

  SparseRows(const OutputGradient &gradient, const IDs &ids, int64_t vocabulary, float *positions,
             int64_t maximum, const ek_backward_options &options)
      : rows(capacity(ids, vocabulary) * sizeof(int64_t)),
        values(capacity(ids, vocabulary) * static_cast<size_t>(gradient.given.last()) *
               sizeof(float)) {
    check(ek_backward_sparse(gradient.data, ids.data, ids.dtype, ids.batch, ids.context, vocabulary,
                             gradient.given.last(), rows.data(), EK_DTYPE_INT64, values.floats(),
                             static_cast<int64_t>(capacity(ids, vocabulary)), &count, positions,
                             maximum, &options));
  }

  const int64_t *numbers() const { return static_cast<const int64_t *>(rows.data()); }

  static size_t capacity(const IDs &ids, int64_t vocabulary) {
    if (vocabulary < 0) throw ValueError("embedkernel: a vocabulary below 0");
    return static_cast<size_t>(ids.count < vocabulary ? ids.count : vocabulary);
  }
};

/// Room for the gradient of a position table of `maximum` rows, in floats.
Buffer position_sums(int64_t maximum, int64_t dim) {
  if (maximum < 0) throw ValueError("embedkernel: a position table of less than 0 rows");
  return Buffer(static_cast<size_t>(maximum) * static_cast<size_t>(dim) * sizeof(float));
}

// embed_backward(Tensor gradient, Tensor ids, Tensor? places, int vocabulary, int maximum, int
// offset,
//   float scale, int padding_idx, bool scale_grad_by_freq, bool for_tokens, bool for_positions)
//   -> (Tensor, Tensor)
std::tuple<Tensor, Tensor> embed_backward(Tensor gradient_given, Tensor ids_given,
                                          std::optional<Tensor> places_given, int64_t vocabulary,
                                          int64_t maximum, int64_t offset, double scale,
                                          int64_t padding, bool by_frequency, bool for_tokens,
                                          bool for_positions) {
  IDs ids("token ids", std::move(ids_given));
  OutputGradient gradient(std::move(gradient_given), ids.count);
  Places places(places_given, offset, ids.batch, ids.context);
  int64_t dim = gradient.given.last();
  ScalarType type = gradient.given.type;
  auto options = backward_options(scale, padding, by_frequency, places);
  if (type == ScalarType::Float) {
    Tensor tokens = for_tokens ? make({vocabulary, dim}, type) : make({0, dim}, type);
    Tensor positions = for_positions ? make({maximum, dim}, type) : make({0, dim}, type);
    check(ek_backward(gradient.data, ids.data, ids.dtype, ids.batch, ids.context, vocabulary, dim,
                      for_tokens ? static_cast<float *>(tokens.mutable_data_ptr()) : nullptr,
                      for_positions ? static_cast<float *>(positions.mutable_data_ptr()) : nullptr,
                      maximum, &options));
    return {std::move(tokens), std::move(positions)};
  }
  // A table of 16-bit elements: sums in floats, each rounded once, and no dense table of floats.
  Tensor tokens = for_tokens ? make_zeros({vocabulary, dim}, type) : make({0, dim}, type);
  Buffer sums = position_sums(for_positions ? maximum : 0, dim);
  float *positions = for_positions ? sums.floats() : nullptr;
  if (for_tokens) {
    SparseRows sparse(gradient, ids, vocabulary, positions, maximum, options);
    auto to = static_cast<char *>(tokens.mutable_data_ptr());
    int32_t dtype = float_type("a gradient", type);
    for (int64_t i = 0; i < sparse.count; ++i)
      check(ek_convert(sparse.values.floats() + i * dim, EK_DTYPE_FLOAT32,
                       to + sparse.numbers()[i] * dim * 2, dtype, dim));
  } else if (for_positions) {
    check(ek_backward(gradient.data, ids.data, ids.dtype, ids.batch, ids.context, vocabulary, dim,
                      nullptr, positions, maximum, &options));
  }
  return {std::move(tokens), narrowed(sums, for_positions ? maximum : 0, dim, type)};
}

// embed_backward_sparse(Tensor gradient, Tensor ids, Tensor? places, int vocabulary, int maximum,
//   int offset, float scale, int padding_idx, bool scale_grad_by_freq, bool for_positions)
//   -> (Tensor, Tensor, Tensor)
std::tuple<Tensor, Tensor, Tensor> embed_backward_sparse(Tensor gradient_given, Tensor ids_given,
                                                         std::optional<Tensor> places_given,
                                                         int64_t vocabulary, int64_t maximum,
                                                         int64_t offset, double scale,
                                                         int64_t padding, bool by_frequency,
                                                         bool for_positions) {
  IDs ids("token ids", std::move(ids_given));
  OutputGradient gradient(std::move(gradient_given), ids.count);
  Places places(places_given, offset, ids.batch, ids.context);
  int64_t dim = gradient.given.last();
  ScalarType type = gradient.given.type;
  auto options = backward_options(scale, padding, by_frequency, places);
  Buffer sums = position_sums(for_positions ? maximum : 0, dim);
  SparseRows sparse(gradient, ids, vocabulary, for_positions ? sums.floats() : nullptr, maximum,
                    options);
  Tensor values = narrowed(sparse.values, sparse.count, dim, type);
  return {sparse.rows.become({sparse.count}, ScalarType::Long), std::move(values),
          narrowed(sums, for_positions ? maximum : 0, dim, type)};
}

/// A tensor of the sizes (first, second) over the same memory.
Tensor reshaped(const View &view, int64_t first, int64_t second) {
  const int64_t sizes[] = {first, second}, strides[] = {second > 1 ? second : 1, 1};
  int64_t offset = 0;
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_storage_offset(view.tensor.get(), &offset));
  STABLE_TORCH_ERROR_CODE_CHECK(
      aoti_torch__reinterpret_tensor(view.tensor.get(), 2, sizes, strides, offset, &handle));
  return Tensor(handle);
}

/// A sparse tensor (rows, D) of the values at the row numbers (1, N), which aren't looked at.
Tensor sparse_rows(Tensor numbers, Tensor values, int64_t rows, int64_t dim) {
  using torch::stable::detail::from;
  const int64_t sizes[] = {rows, dim};
  StableIValue stack[] = {from(numbers),
                          from(values),
                          from(torch::headeronly::IntHeaderOnlyArrayRef(sizes, 2)),
                          from(std::nullopt),
                          from(std::nullopt),
                          from(std::nullopt),
                          from(std::nullopt),
                          from(std::nullopt)};
  STABLE_TORCH_ERROR_CODE_CHECK(
      torch_call_dispatcher("aten::_sparse_coo_tensor_unsafe", "", stack, TORCH_ABI_VERSION));
  return torch::stable::detail::to<Tensor>(stack[0]);
}

// embed_backward_coo(Tensor gradient, Tensor ids, Tensor? places, int vocabulary, int maximum, int
//   offset, bool for_positions) -> (Tensor, Tensor)
//
// The token gradient as PyTorch's own backward makes it: the ids, and the output's gradient itself.
std::tuple<Tensor, Tensor> embed_backward_coo(Tensor gradient_given, Tensor ids_given,
                                              std::optional<Tensor> places_given,
                                              int64_t vocabulary, int64_t maximum, int64_t offset,
                                              bool for_positions) {
  IDs ids("token ids", std::move(ids_given));
  View gradient("the output's gradient", std::move(gradient_given));
  if (gradient.rank < 1) throw ValueError("embedkernel: the output's gradient has no rows");
  int64_t dim = gradient.last();
  check_rows("the output's gradient", gradient, ids.count, dim);
  Tensor numbers = ids.type == ScalarType::Long ? reshaped(ids, 1, ids.count)
                                                : make({1, ids.count}, ScalarType::Long);
  if (ids.type == ScalarType::Int) {
    auto from = static_cast<const int32_t *>(ids.data);
    auto to = static_cast<int64_t *>(numbers.mutable_data_ptr());
    for (int64_t i = 0; i < ids.count; ++i) to[i] = from[i];
  }
  Tensor rows =
      sparse_rows(std::move(numbers), reshaped(gradient, ids.count, dim), vocabulary, dim);
  if (!for_positions) return {std::move(rows), make({0, dim}, gradient.type)};
  Places places(places_given, offset, ids.batch, ids.context);
  auto options = backward_options(1, -1, false, places);
  OutputGradient floats(gradient.tensor, ids.count);
  Buffer sums = position_sums(maximum, dim);
  check(ek_backward(floats.data, ids.data, ids.dtype, ids.batch, ids.context, vocabulary, dim,
                    nullptr, sums.floats(), maximum, &options));
  return {std::move(rows), narrowed(sums, maximum, dim, gradient.type)};
}

// renormalize_(Tensor(a!) tokens, Tensor ids, float max_norm, float norm_type) -> ()
void renormalize(Tensor tokens_given, Tensor ids_given, double maximum, double order) {
  IDs ids("token ids", std::move(ids_given));
  Table tokens("the token table", std::move(tokens_given), true);
  bring_up_rows(tokens, ids);
  check(ek_renormalize_rows(tokens.data, tokens.dtype, tokens.rows(), tokens.last(), ids.data,
                            ids.dtype, ids.count, maximum, order, nullptr));
}

// last_failure() -> (int, str): of this thread; forgets it.
std::tuple<int64_t, std::string> take_last_failure() {
  Failure failure = std::move(last_failure);
  last_failure = {};
  return {failure.kind, std::move(failure.message)};
}

}  // namespace

}  // namespace embedkernel

STABLE_TORCH_LIBRARY(embedkernel, m) {
  m.def("last_failure() -> (int, str)");
  m.def(
      "embed_forward(Tensor ids, Tensor tokens, Tensor? positions=None, Tensor? places=None, "
      "SymInt offset=0, float scale=1.0) -> Tensor");
  m.def(
      "embed(Tensor ids, Tensor tokens, Tensor? positions=None, Tensor? places=None, SymInt "
      "offset=0, "
      "float scale=1.0, int padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) -> "
      "Tensor");
  m.def(
      "embed_backward(Tensor gradient, Tensor ids, Tensor? places, SymInt vocabulary, SymInt "
      "maximum, "
      "SymInt offset, float scale, int padding_idx, bool scale_grad_by_freq, bool for_tokens, bool "
      "for_positions) -> (Tensor, Tensor)");
  m.def(
      "embed_backward_sparse(Tensor gradient, Tensor ids, Tensor? places, SymInt vocabulary, "
      "SymInt "
      "maximum, SymInt offset, float scale, int padding_idx, bool scale_grad_by_freq, bool "
      "for_positions) -> (Tensor, Tensor, Tensor)");
  m.def(
      "embed_backward_coo(Tensor gradient, Tensor ids, Tensor? places, SymInt vocabulary, SymInt "
      "maximum, SymInt offset, bool for_positions) -> (Tensor, Tensor)");
  m.def("renormalize_(Tensor(a!) tokens, Tensor ids, float max_norm, float norm_type) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(embedkernel, CompositeExplicitAutograd, m) {
  m.impl("last_failure", TORCH_BOX(&embedkernel::take_last_failure));
}

STABLE_TORCH_LIBRARY_IMPL(embedkernel, CPU, m) {
  using namespace embedkernel;
  m.impl("embed_forward", TORCH_BOX(&embed_forward));
  m.impl("embed", TORCH_BOX(&embed));
  m.impl("embed_backward", TORCH_BOX(&embed_backward));
  m.impl("embed_backward_sparse", TORCH_BOX(&embed_backward_sparse));
  m.impl("embed_backward_coo", TORCH_BOX(&embed_backward_coo));
  m.impl("renormalize_", TORCH_BOX(&renormalize));
}
