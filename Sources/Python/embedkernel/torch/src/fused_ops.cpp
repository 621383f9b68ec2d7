// The input layer in one pass: token, position and segment rows, normalised and dropped from, with
// all gradients; and the normalisation of rows that are there already. float32.
//
// B batch, T context, N = B*T tokens, V vocabulary, S segments, D dim.

#include <cstring>

#include "lazy_rows.h"
#include "tensors.h"

namespace embedkernel {

namespace {

/// The arguments of the fused forward and of its backward, checked against each other.
struct Fused {
  IDs ids;
  Table tokens;
  std::optional<Table> positions, segments;
  std::optional<View> segment_ids, gamma, beta, seed;
  Places places;
  ek_fused_options options = EK_FUSED_OPTIONS_INIT;

  Fused(Tensor ids_given, Tensor tokens_given, const std::optional<Tensor> &positions_given,
        const std::optional<Tensor> &segments_given, const std::optional<Tensor> &segment_ids_given,
        const std::optional<Tensor> &places_given, const std::optional<Tensor> &gamma_given,
        const std::optional<Tensor> &beta_given, const std::optional<Tensor> &seed_given,
        int64_t offset, double scale, int64_t norm, double epsilon, double dropout)
      : ids("token ids", std::move(ids_given)),
        tokens("the token table", std::move(tokens_given)),
        positions(table("the position table", positions_given)),
        segments(table("the segment table", segments_given)),
        segment_ids(view("segment ids", segment_ids_given)),
        gamma(view("the norm's weight", gamma_given)),
        beta(view("the norm's bias", beta_given)),
        seed(view("the dropout seed", seed_given)),
        places(places_given, offset, ids.batch, ids.context) {
    floats("the token table", tokens);
    int64_t dim = tokens.last();
    if (positions) check_table("the position table", *positions, dim);
    if (segments) check_table("the segment table", *segments, dim);
    check_count("the norm's weight", gamma, dim);
    check_count("the norm's bias", beta, dim);
    check_count("the dropout seed", seed, 1);
    if (segment_ids) {
      if (!segments) throw ValueError("embedkernel: segment ids without a segment table");
      if (segment_ids->type != ids.type)
        throw std::runtime_error("embedkernel: token ids and segment ids differ in dtype");
      check_count("segment ids", segment_ids, ids.count);
    }
    if (seed && seed->type != ScalarType::Long)
      throw std::runtime_error("embedkernel: the dropout seed must be of int64");
    if (dropout != 0 && !seed) throw ValueError("embedkernel: dropout without a seed");
    options.scale = static_cast<float>(scale);
    options.threads = threads();
    options.norm = static_cast<int32_t>(norm);
    options.place = places.get();
    options.segments = segments ? static_cast<const float *>(segments->data) : nullptr;
    options.segment_count = segments ? segments->rows() : 0;
    options.segment_ids = segment_ids ? segment_ids->data : nullptr;
    options.gamma = floats("the norm's weight", gamma);
    options.beta = floats("the norm's bias", beta);
    options.epsilon = static_cast<float>(epsilon);
    options.dropout_rate = static_cast<float>(dropout);
    if (seed)
      options.dropout_seed = static_cast<uint64_t>(*static_cast<const int64_t *>(seed->data));
    if (lazy_tables.load(std::memory_order_relaxed) != 0) {
      bring_up(tokens.data, ids.data, width(), ids.count);
      // Of the small tables all rows may be read.
      for (const auto *part : {&positions, &segments})
        if (*part) bring_up_all((*part)->data);
      for (const auto *part : {&gamma, &beta})
        if (*part) bring_up_all((*part)->data);
    }
  }

  static std::optional<Table> table(const char *name, const std::optional<Tensor> &given) {
    if (!given) return std::nullopt;
    return std::optional<Table>(std::in_place, name, *given);
  }

  static void check_table(const char *name, const Table &table, int64_t dim) {
    floats(name, table);
    if (table.last() != dim)
      throw ValueError(std::string("embedkernel: rows of ") + name + " have " +
                       std::to_string(table.last()) + " elements, the tokens' " +
                       std::to_string(dim));
  }

  int width() const { return ids.dtype == EK_DTYPE_INT64 ? 8 : 4; }
  const float *position_rows() const {
    return positions ? static_cast<const float *>(positions->data) : nullptr;
  }
  int64_t maximum() const { return positions ? positions->rows() : 0; }
};

Tensor fused_forward(Tensor ids, Tensor tokens, std::optional<Tensor> positions,
                     std::optional<Tensor> segments, std::optional<Tensor> segment_ids,
                     std::optional<Tensor> places, std::optional<Tensor> gamma,
                     std::optional<Tensor> beta, std::optional<Tensor> seed, int64_t offset,
                     double scale, int64_t norm, double epsilon, double dropout) {
  Fused call(std::move(ids), std::move(tokens), positions, segments, segment_ids, places, gamma,
             beta, seed, offset, scale, norm, epsilon, dropout);
  Tensor output = make_rows(call.ids, call.tokens.last(), ScalarType::Float);
  check(ek_embed_fused(call.ids.data, call.ids.dtype, call.ids.batch, call.ids.context,
                       static_cast<const float *>(call.tokens.data), call.tokens.rows(),
                       call.tokens.last(), call.position_rows(), call.maximum(),
                       static_cast<float *>(output.mutable_data_ptr()), &call.options));
  return output;
}

Tensor fused(Tensor ids, Tensor tokens, std::optional<Tensor> positions,
             std::optional<Tensor> segments, std::optional<Tensor> segment_ids,
             std::optional<Tensor> places, std::optional<Tensor> gamma, std::optional<Tensor> beta,
             std::optional<Tensor> seed, int64_t offset, double scale, int64_t norm, double epsilon,
             double dropout, int64_t, bool, bool) {
  return fused_forward(std::move(ids), std::move(tokens), std::move(positions), std::move(segments),
                       std::move(segment_ids), std::move(places), std::move(gamma), std::move(beta),
                       std::move(seed), offset, scale, norm, epsilon, dropout);
}

/// The gradients of each token's sum, of the norm's weight and bias, and of the segment table;
/// empty where there is no such part.
std::tuple<Tensor, Tensor, Tensor, Tensor> fused_backward(
    Tensor gradient_given, Tensor ids, Tensor tokens, std::optional<Tensor> positions,
    std::optional<Tensor> segments, std::optional<Tensor> segment_ids, std::optional<Tensor> places,
    std::optional<Tensor> gamma, std::optional<Tensor> beta, std::optional<Tensor> seed,
    int64_t offset, double scale, int64_t norm, double epsilon, double dropout) {
  Fused call(std::move(ids), std::move(tokens), positions, segments, segment_ids, places, gamma,
             beta, seed, offset, scale, norm, epsilon, dropout);
  View gradient("the output's gradient", std::move(gradient_given));
  int64_t dim = call.tokens.last();
  check_rows("the output's gradient", gradient, call.ids.count, dim);
  Tensor rows = make_rows(call.ids, dim, ScalarType::Float);
  Tensor for_gamma = make_zeros({call.gamma ? dim : 0}, ScalarType::Float);
  Tensor for_beta = make_zeros({call.beta ? dim : 0}, ScalarType::Float);
  Tensor for_segments =
      make_zeros({call.segments ? call.segments->rows() : 0, dim}, ScalarType::Float);
  auto memory = [](bool is_there, const Tensor &tensor) {
    return is_there ? static_cast<float *>(tensor.mutable_data_ptr()) : nullptr;
  };
  check(ek_embed_fused_backward(
      floats("the output's gradient", gradient), call.ids.data, call.ids.dtype, call.ids.batch,
      call.ids.context, static_cast<const float *>(call.tokens.data), call.tokens.rows(), dim,
      call.position_rows(), call.maximum(), memory(true, rows),
      memory(call.gamma.has_value(), for_gamma), memory(call.beta.has_value(), for_beta),
      memory(call.segments.has_value(), for_segments), &call.options));
  return {std::move(rows), std::move(for_gamma), std::move(for_beta), std::move(for_segments)};
}

/// Rows to be normalised, and what by.
struct Norm {
  View input;
  std::optional<View> gamma, beta;
  int64_t dim, rows;

  Norm(Tensor input_given, const std::optional<Tensor> &gamma_given,
       const std::optional<Tensor> &beta_given)
      : input("the norm's input", std::move(input_given)),
        gamma(view("the norm's weight", gamma_given)),
        beta(view("the norm's bias", beta_given)) {
    floats("the norm's input", input);
    if (input.rank < 1) throw ValueError("embedkernel: the norm's input has no dimension");
    dim = input.last();
    rows = dim == 0 ? 0 : input.count / dim;
    check_count("the norm's weight", gamma, dim);
    check_count("the norm's bias", beta, dim);
  }
};

// norm_forward(Tensor input, Tensor? gamma, Tensor? beta, int norm, float epsilon) -> Tensor
Tensor norm_forward(Tensor input, std::optional<Tensor> gamma, std::optional<Tensor> beta,
                    int64_t norm, double epsilon) {
  Norm call(std::move(input), gamma, beta);
  Tensor output = make(call.input.sizes, call.input.rank, ScalarType::Float);
  if (call.rows > 0)
    check(ek_normalize(static_cast<const float *>(call.input.data), call.rows, call.dim,
                       static_cast<int32_t>(norm), floats("the norm's weight", call.gamma),
                       floats("the norm's bias", call.beta), static_cast<float>(epsilon),
                       static_cast<float *>(output.mutable_data_ptr()), threads()));
  return output;
}

// norm_backward(Tensor gradient, Tensor input, Tensor? gamma, Tensor? beta, int norm, float
// epsilon)
//   -> (Tensor, Tensor, Tensor)
std::tuple<Tensor, Tensor, Tensor> norm_backward(Tensor gradient_given, Tensor input,
                                                 std::optional<Tensor> gamma,
                                                 std::optional<Tensor> beta, int64_t norm,
                                                 double epsilon) {
  Norm call(std::move(input), gamma, beta);
  View gradient("the output's gradient", std::move(gradient_given));
  check_rows("the output's gradient", gradient, call.rows, call.dim);
  Tensor for_input = make(call.input.sizes, call.input.rank, ScalarType::Float);
  Tensor for_gamma = make_zeros({gamma ? call.dim : 0}, ScalarType::Float);
  Tensor for_beta = make_zeros({beta ? call.dim : 0}, ScalarType::Float);
  if (call.rows > 0)
    check(ek_normalize_backward(
        floats("the output's gradient", gradient), static_cast<const float *>(call.input.data),
        call.rows, call.dim, static_cast<int32_t>(norm), floats("the norm's weight", call.gamma),
        floats("the norm's bias", call.beta), static_cast<float>(epsilon),
        static_cast<float *>(for_input.mutable_data_ptr()),
        gamma ? static_cast<float *>(for_gamma.mutable_data_ptr()) : nullptr,
        beta ? static_cast<float *>(for_beta.mutable_data_ptr()) : nullptr, threads()));
  return {std::move(for_input), std::move(for_gamma), std::move(for_beta)};
}

}  // namespace

}  // namespace embedkernel

#define EK_FUSED_ARGUMENTS                                                                        \
  "Tensor ids, Tensor tokens, Tensor? positions, Tensor? segments, Tensor? segment_ids, Tensor? " \
  "places, Tensor? gamma, Tensor? beta, Tensor? seed, SymInt offset, float scale, int norm, "     \
  "float "                                                                                        \
  "epsilon, float dropout"

STABLE_TORCH_LIBRARY_FRAGMENT(embedkernel, m) {
  m.def("fused_forward(" EK_FUSED_ARGUMENTS ") -> Tensor");
  m.def("fused(" EK_FUSED_ARGUMENTS
        ", int padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor");
  m.def("fused_backward(Tensor gradient, " EK_FUSED_ARGUMENTS
        ") -> (Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "norm_forward(Tensor input, Tensor? gamma, Tensor? beta, int norm, float epsilon) -> Tensor");
  m.def("norm(Tensor input, Tensor? gamma, Tensor? beta, int norm, float epsilon) -> Tensor");
  m.def(
      "norm_backward(Tensor gradient, Tensor input, Tensor? gamma, Tensor? beta, int norm, float "
      "epsilon) -> (Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(embedkernel, CPU, m) {
  using namespace embedkernel;
  m.impl("fused_forward", TORCH_BOX(&fused_forward));
  m.impl("fused", TORCH_BOX(&fused));
  m.impl("fused_backward", TORCH_BOX(&fused_backward));
  m.impl("norm_forward", TORCH_BOX(&norm_forward));
  m.impl("norm", TORCH_BOX(&norm_forward));
  m.impl("norm_backward", TORCH_BOX(&norm_backward));
}
