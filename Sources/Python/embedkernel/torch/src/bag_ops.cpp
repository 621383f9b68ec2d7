// The operators of bags: rows of a table pooled, and the gradients of the table and of the weights.
//
// B bags, N ids, V vocabulary, D dim. `pool` is 0 for a sum, 1 for a mean, 2 for a maximum.

#include <cstring>

#include "gradients.h"
#include "tensors.h"

namespace embedkernel {

namespace {

/// The ids of a call and how they fall into bags: a rectangle (B, N / B), or (N) with offsets.
struct Bags {
  IDs ids;
  std::optional<View> offsets;
  ek_bag_layout layout = EK_BAG_LAYOUT_INIT;
  int64_t bags = 0;
  /// The ids that are in bags.
  int64_t count;

  Bags(Tensor given, const std::optional<Tensor> &starts, bool include_last)
      : ids("ids of bags", std::move(given)), count(ids.count) {
    if (!starts) {
      if (ids.rank != 2)
        throw ValueError("embedkernel: ids of bags have " + std::to_string(ids.rank) +
                         " dimensions, not 2, and there are no offsets");
      layout.kind = EK_BAGS_RECTANGLE;
      layout.count = bags = ids.sizes[0];
      layout.length = ids.sizes[1];
      return;
    }
    if (ids.rank != 1)
      throw ValueError("embedkernel: ids of bags have " + std::to_string(ids.rank) +
                       " dimensions, not 1, and there are offsets");
    offsets.emplace("offsets", *starts);
    if (offsets->type != ScalarType::Long && offsets->type != ScalarType::Int)
      throw std::runtime_error(std::string("embedkernel: offsets must be of int32 or int64, not ") +
                               torch::headeronly::toString(offsets->type));
    if (offsets->rank != 1)
      throw ValueError("embedkernel: offsets have " + std::to_string(offsets->rank) +
                       " dimensions, not 1");
    layout.kind = include_last ? EK_BAGS_OFFSETS_WITH_LAST : EK_BAGS_OFFSETS;
    layout.dtype = offsets->type == ScalarType::Long ? EK_DTYPE_INT64 : EK_DTYPE_INT32;
    layout.numbers = offsets->data;
    layout.count = offsets->count;
    if (include_last && offsets->count == 0)
      throw ValueError("embedkernel: offsets are empty, but include the last one");
    bags = offsets->count - (include_last ? 1 : 0);
    // What comes after the last offset is in no bag.
    if (include_last && last() >= 0 && last() < count) count = last();
  }

 private:
  int64_t last() const {
    int64_t at = offsets->count - 1;
    return layout.dtype == EK_DTYPE_INT64 ? static_cast<const int64_t *>(offsets->data)[at]
                                          : static_cast<const int32_t *>(offsets->data)[at];
  }
};

/// Weights of the ids in floats: a copy where they are of 16-bit elements.
struct Weights {
  std::optional<View> given;
  std::optional<Buffer> widened;
  const float *data = nullptr;

  Weights(const std::optional<Tensor> &weights, const IDs &ids) {
    if (!weights) return;
    given.emplace("weights of the ids", *weights);
    check_count("weights of the ids", given, ids.count);
    if (given->type == ScalarType::Float) {
      data = static_cast<const float *>(given->data);
      return;
    }
    int32_t dtype = float_type("weights of the ids", given->type);
    widened.emplace(static_cast<size_t>(given->count) * sizeof(float));
    check(ek_convert(given->data, dtype, widened->floats(), EK_DTYPE_FLOAT32, given->count));
    data = widened->floats();
  }
};

ek_bag_options bag_options(int64_t pool, int64_t padding, const float *weights) {
  ek_bag_options options = EK_BAG_OPTIONS_INIT;
  options.pool = static_cast<int32_t>(pool);
  options.padding_id = padding;
  options.weights = weights;
  options.threads = threads();
  return options;
}

// bag_forward(Tensor ids, Tensor table, Tensor? offsets, Tensor? weights, int pool, int
// padding_idx,
//   bool include_last_offset) -> (Tensor, Tensor)
//
// The pooled rows, and of a maximum whose each column is: int32 (B, D), else (0).
std::tuple<Tensor, Tensor> bag_forward(Tensor ids_given, Tensor table_given,
                                       std::optional<Tensor> offsets,
                                       std::optional<Tensor> weights_given, int64_t pool,
                                       int64_t padding, bool include_last) {
  Bags bags(std::move(ids_given), offsets, include_last);
  Table table("the table", std::move(table_given));
  Weights weights(weights_given, bags.ids);
  bring_up_rows(table, bags.ids);
  Tensor output = make({bags.bags, table.last()}, table.type);
  bool of_maximum = pool == EK_BAG_MAX;
  Tensor winners =
      of_maximum ? make({bags.bags, table.last()}, ScalarType::Int) : make({0}, ScalarType::Int);
  auto options = bag_options(pool, padding, weights.data);
  check(ek_bag(bags.ids.data, bags.ids.dtype, bags.count, &bags.layout, table.data, table.dtype,
               table.rows(), table.last(), output.mutable_data_ptr(), table.dtype,
               of_maximum ? static_cast<int32_t *>(winners.mutable_data_ptr()) : nullptr,
               &options));
  return {std::move(output), std::move(winners)};
}

std::tuple<Tensor, Tensor> bag(Tensor ids, Tensor table, std::optional<Tensor> offsets,
                               std::optional<Tensor> weights, int64_t pool, int64_t padding,
                               bool include_last, bool, bool) {
  return bag_forward(std::move(ids), std::move(table), std::move(offsets), std::move(weights), pool,
                     padding, include_last);
}

/// What a backward reads beside its output's gradient.
struct Backward {
  Bags bags;
  OutputGradient gradient;
  Weights weights;
  std::optional<View> winners;
  const int32_t *won = nullptr;
  ek_bag_options options;

  Backward(Tensor given, Tensor ids, const std::optional<Tensor> &offsets,
           const std::optional<Tensor> &weights_given, const std::optional<Tensor> &winners_given,
           int64_t pool, int64_t padding, bool include_last, bool by_frequency)
      : bags(std::move(ids), offsets, include_last),
        gradient(std::move(given), bags.bags),
        weights(weights_given, bags.ids),
        options(bag_options(pool, padding, weights.data)) {
    options.frequency = by_frequency ? EK_FREQUENCY_INVERSE : EK_FREQUENCY_NONE;
    if (pool != EK_BAG_MAX) return;
    if (!winners_given) throw ValueError("embedkernel: the winners of a maximum are missing");
    winners.emplace("winners", *winners_given);
    if (winners->type != ScalarType::Int) throw ValueError("embedkernel: winners must be of int32");
    check_count("winners", winners, bags.bags * dim());
    won = static_cast<const int32_t *>(winners->data);
  }

  int64_t dim() const { return gradient.given.last(); }
  ScalarType type() const { return gradient.given.type; }
};

/// The touched rows of a table's gradient, in floats.
struct BagRows {
  Buffer rows, values;
  int64_t count = 0;

  BagRows(const Backward &call, int64_t vocabulary)
      : rows(capacity(call, vocabulary) * sizeof(int64_t)),
        values(capacity(call, vocabulary) * static_cast<size_t>(call.dim()) * sizeof(float)) {
    check(ek_bag_backward_sparse(
        call.gradient.data, call.bags.ids.data, call.bags.ids.dtype, call.bags.count,
        &call.bags.layout, call.won, vocabulary, call.dim(), rows.data(), EK_DTYPE_INT64,
        values.floats(), static_cast<int64_t>(capacity(call, vocabulary)), &count, &call.options));
  }

  static size_t capacity(const Backward &call, int64_t vocabulary) {
    if (vocabulary < 0) throw ValueError("embedkernel: a vocabulary below 0");
    return static_cast<size_t>(call.bags.count < vocabulary ? call.bags.count : vocabulary);
  }
};

// bag_backward(Tensor gradient, Tensor ids, Tensor? offsets, Tensor? weights, Tensor? winners, int
//   vocabulary, int pool, int padding_idx, bool include_last_offset, bool scale_grad_by_freq) ->
//   Tensor
Tensor bag_backward(Tensor gradient, Tensor ids, std::optional<Tensor> offsets,
                    std::optional<Tensor> weights, std::optional<Tensor> winners,
                    int64_t vocabulary, int64_t pool, int64_t padding, bool include_last,
                    bool by_frequency) {
  Backward call(std::move(gradient), std::move(ids), offsets, weights, winners, pool, padding,
                include_last, by_frequency);
  int64_t dim = call.dim();
  if (call.type() == ScalarType::Float) {
    Tensor result = make({vocabulary, dim}, ScalarType::Float);
    check(ek_bag_backward(call.gradient.data, call.bags.ids.data, call.bags.ids.dtype,
                          call.bags.count, &call.bags.layout, call.won, vocabulary, dim,
                          static_cast<float *>(result.mutable_data_ptr()), &call.options));
    return result;
  }
  // Sums in floats, each rounded once, and no dense table of floats.
  Tensor result = make_zeros({vocabulary, dim}, call.type());
  BagRows rows(call, vocabulary);
  auto to = static_cast<char *>(result.mutable_data_ptr());
  auto numbers = static_cast<const int64_t *>(rows.rows.data());
  int32_t dtype = float_type("a gradient", call.type());
  for (int64_t i = 0; i < rows.count; ++i)
    check(ek_convert(rows.values.floats() + i * dim, EK_DTYPE_FLOAT32, to + numbers[i] * dim * 2,
                     dtype, dim));
  return result;
}

// bag_backward_sparse(the same) -> (Tensor, Tensor): rows and values.
std::tuple<Tensor, Tensor> bag_backward_sparse(Tensor gradient, Tensor ids,
                                               std::optional<Tensor> offsets,
                                               std::optional<Tensor> weights,
                                               std::optional<Tensor> winners, int64_t vocabulary,
                                               int64_t pool, int64_t padding, bool include_last,
                                               bool by_frequency) {
  Backward call(std::move(gradient), std::move(ids), offsets, weights, winners, pool, padding,
                include_last, by_frequency);
  BagRows rows(call, vocabulary);
  Tensor values = narrowed(rows.values, rows.count, call.dim(), call.type());
  return {rows.rows.become({rows.count}, ScalarType::Long), std::move(values)};
}

// bag_weight_gradient(Tensor gradient, Tensor ids, Tensor? offsets, Tensor table, int padding_idx,
//   bool include_last_offset) -> Tensor, of the ids' shape and the table's type
Tensor bag_weight_gradient(Tensor gradient_given, Tensor ids_given, std::optional<Tensor> offsets,
                           Tensor table_given, int64_t padding, bool include_last) {
  Bags bags(std::move(ids_given), offsets, include_last);
  OutputGradient gradient(std::move(gradient_given), bags.bags);
  Table table("the table", std::move(table_given));
  check_rows("the output's gradient", gradient.given, bags.bags, table.last());
  bring_up_rows(table, bags.ids);
  auto options = bag_options(EK_BAG_SUM, padding, nullptr);
  int64_t count = bags.ids.count;
  Buffer sums(static_cast<size_t>(count) * sizeof(float));
  check(ek_bag_weight_gradient(gradient.data, bags.ids.data, bags.ids.dtype, bags.count,
                               &bags.layout, table.data, table.dtype, table.rows(), table.last(),
                               sums.floats(), &options));
  // Ids in no bag have no gradient.
  if (bags.count < count)
    std::memset(sums.floats() + bags.count, 0,
                static_cast<size_t>(count - bags.count) * sizeof(float));
  Tensor result = make(bags.ids.sizes, bags.ids.rank, table.type);
  check(ek_convert(sums.floats(), EK_DTYPE_FLOAT32, result.mutable_data_ptr(),
                   float_type("a gradient", table.type), count));
  return result;
}

}  // namespace

}  // namespace embedkernel

STABLE_TORCH_LIBRARY_FRAGMENT(embedkernel, m) {
  m.def(
      "bag_forward(Tensor ids, Tensor table, Tensor? offsets=None, Tensor? weights=None, int "
      "pool=0, "
      "int padding_idx=-1, bool include_last_offset=False) -> (Tensor, Tensor)");
  m.def(
      "bag(Tensor ids, Tensor table, Tensor? offsets=None, Tensor? weights=None, int pool=0, int "
      "padding_idx=-1, bool include_last_offset=False, bool scale_grad_by_freq=False, bool "
      "sparse=False) -> (Tensor, Tensor)");
  m.def(
      "bag_backward(Tensor gradient, Tensor ids, Tensor? offsets, Tensor? weights, Tensor? "
      "winners, "
      "SymInt vocabulary, int pool, int padding_idx, bool include_last_offset, bool "
      "scale_grad_by_freq) -> Tensor");
  m.def(
      "bag_backward_sparse(Tensor gradient, Tensor ids, Tensor? offsets, Tensor? weights, Tensor? "
      "winners, SymInt vocabulary, int pool, int padding_idx, bool include_last_offset, bool "
      "scale_grad_by_freq) -> (Tensor, Tensor)");
  m.def(
      "bag_weight_gradient(Tensor gradient, Tensor ids, Tensor? offsets, Tensor table, int "
      "padding_idx, bool include_last_offset) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(embedkernel, CPU, m) {
  using namespace embedkernel;
  m.impl("bag_forward", TORCH_BOX(&bag_forward));
  m.impl("bag", TORCH_BOX(&bag));
  m.impl("bag_backward", TORCH_BOX(&bag_backward));
  m.impl("bag_backward_sparse", TORCH_BOX(&bag_backward_sparse));
  m.impl("bag_weight_gradient", TORCH_BOX(&bag_weight_gradient));
}
