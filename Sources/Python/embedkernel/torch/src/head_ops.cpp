// The output head that shares the token table: logits, and both gradients. float32, through
// OpenBLAS.
//
// N rows of hidden state, V vocabulary, D dim.

#include "lazy_rows.h"
#include "tensors.h"

namespace embedkernel {

namespace {

struct Head {
  View hidden;
  Table table;
  int64_t rows;

  Head(Tensor hidden_given, Tensor table_given)
      : hidden("the hidden state", std::move(hidden_given)),
        table("the token table", std::move(table_given)) {
    floats("the hidden state", hidden);
    floats("the token table", table);
    int64_t dim = table.last();
    if (hidden.rank < 1 || hidden.last() != dim)
      throw ValueError("embedkernel: the hidden state's last dimension is not the table's, " +
                       std::to_string(dim));
    rows = dim == 0 ? 0 : hidden.count / dim;
    if (lazy_tables.load(std::memory_order_relaxed) != 0) bring_up_all(table.data);
  }
};

// tied_logits_forward(Tensor hidden, Tensor table, float scale) -> Tensor
Tensor tied_logits(Tensor hidden, Tensor table, double scale) {
  Head head(std::move(hidden), std::move(table));
  int64_t sizes[16];
  for (int64_t i = 0; i < head.hidden.rank; ++i) sizes[i] = head.hidden.sizes[i];
  sizes[head.hidden.rank - 1] = head.table.rows();
  Tensor logits = make(sizes, head.hidden.rank, ScalarType::Float);
  check(ek_tied_logits(static_cast<const float *>(head.hidden.data), head.rows,
                       static_cast<const float *>(head.table.data), head.table.rows(),
                       head.table.last(), static_cast<float>(scale),
                       static_cast<float *>(logits.mutable_data_ptr())));
  return logits;
}

// tied_backward(Tensor gradient, Tensor hidden, Tensor table, float scale) -> (Tensor, Tensor)
std::tuple<Tensor, Tensor> tied_backward(Tensor gradient_given, Tensor hidden, Tensor table,
                                         double scale) {
  Head head(std::move(hidden), std::move(table));
  View gradient("the logits' gradient", std::move(gradient_given));
  check_rows("the logits' gradient", gradient, head.rows, head.table.rows());
  Tensor for_hidden = make(head.hidden.sizes, head.hidden.rank, ScalarType::Float);
  Tensor for_table = make_zeros({head.table.rows(), head.table.last()}, ScalarType::Float);
  check(ek_tied_backward(
      floats("the logits' gradient", gradient), static_cast<const float *>(head.hidden.data),
      head.rows, static_cast<const float *>(head.table.data), head.table.rows(), head.table.last(),
      static_cast<float>(scale), static_cast<float *>(for_hidden.mutable_data_ptr()),
      static_cast<float *>(for_table.mutable_data_ptr())));
  return {std::move(for_hidden), std::move(for_table)};
}

}  // namespace

}  // namespace embedkernel

STABLE_TORCH_LIBRARY_FRAGMENT(embedkernel, m) {
  m.def("tied_logits_forward(Tensor hidden, Tensor table, float scale=1.0) -> Tensor");
  m.def("tied_logits(Tensor hidden, Tensor table, float scale=1.0) -> Tensor");
  m.def(
      "tied_backward(Tensor gradient, Tensor hidden, Tensor table, float scale) -> (Tensor, "
      "Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(embedkernel, CPU, m) {
  using namespace embedkernel;
  m.impl("tied_logits_forward", TORCH_BOX(&tied_logits));
  m.impl("tied_logits", TORCH_BOX(&tied_logits));
  m.impl("tied_backward", TORCH_BOX(&tied_backward));
}
