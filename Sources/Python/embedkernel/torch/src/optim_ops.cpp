// Steps of weights whose memory and state are torch's tensors: operators over the C library's
// optimisers, and the registry of the weights that such an optimiser leaves rows of behind.
//
//     handle = optim_create(rule, untouched, weight, state, rows, dim, steps, ...)
//     optim_step(handle, weight, state, ids, gradient, ...)
//
// V rows, D dim, N rows of a gradient. Memory that moved since the last call is followed.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "errors.h"
#include "lazy_rows.h"

namespace embedkernel {

std::atomic<int64_t> lazy_tables{0};

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

[[noreturn]] void refuse(const std::string &what) { throw ValueError(what); }

void *memory_of(const Tensor &tensor, const char *name, int64_t count, ScalarType type) {
  if (!tensor.is_cpu()) refuse(std::string(name) + " is not on the CPU");
  if (tensor.scalar_type() != type) refuse(std::string(name) + " has another element type");
  if (!tensor.is_contiguous()) refuse(std::string(name) + " is not contiguous");
  if (tensor.numel() != count)
    refuse(std::string(name) + " has " + std::to_string(tensor.numel()) + " elements, not " +
           std::to_string(count));
  return tensor.data_ptr();
}

/// An optimiser of the C library over one weight. State tensors are kept alive here, the weight is
/// not: it keeps this alive.
class Stepper {
 public:
  Stepper(const std::string &rule, int64_t untouched, const Tensor &weight,
          const std::vector<Tensor> &state, int64_t rows, int64_t dim,
          const ek_step_options &numbers, int64_t steps)
      : rows_(rows), dim_(dim), catches_up_(untouched == EK_UNTOUCHED_CAUGHT_UP) {
    ek_optimizer_options options = EK_OPTIMIZER_OPTIONS_INIT;
    options.name = rule.c_str();
    options.untouched = (int32_t)untouched;
    options.learning_rate = numbers.learning_rate;
    options.weight_decay = numbers.weight_decay;
    options.beta1 = numbers.beta1;
    options.beta2 = numbers.beta2;
    options.epsilon = numbers.epsilon;
    options.step_count = steps;
    find_layout(options);
    look(weight, state);
    options.state = addresses_.data();
    options.state_count = (int64_t)addresses_.size();
    check(ek_table_borrow(weight_, rows, dim, EK_DTYPE_FLOAT32, nullptr, nullptr, &table_));
    int32_t code = ek_optimizer_create(table_, &options, &optimizer_);
    if (code != EK_OK) {
      ek_table_destroy(table_);
      check(code);
    }
  }

  /// The weight's memory may be gone.
  ~Stepper() {
    ek_optimizer_abandon(optimizer_);
    ek_table_destroy(table_);
  }

  Stepper(const Stepper &) = delete;

  bool catches_up() const { return catches_up_; }
  const void *weight() const { return weight_; }
  int64_t bytes() const { return rows_ * dim_ * (int64_t)sizeof(float); }

  /// Goes on in the memory of these tensors.
  void follow(const Tensor &weight, const std::vector<Tensor> &state) {
    if (look(weight, state))
      check(ek_optimizer_move(optimizer_, weight_, addresses_.data(), (int64_t)addresses_.size()));
  }

  void step(const std::optional<Tensor> &ids, const Tensor &gradient,
            const ek_step_options &numbers) {
    if (!ids) {
      const void *values = memory_of(gradient, "gradient", rows_ * dim_, ScalarType::Float);
      return check(ek_optimizer_step_dense(optimizer_, (const float *)values, &numbers));
    }
    int64_t count = ids->numel();
    const void *rows = memory_of(*ids, "rows of the gradient", count, ScalarType::Long);
    const void *values =
        memory_of(gradient, "values of the gradient", count * dim_, ScalarType::Float);
    check(ek_optimizer_step_rows(optimizer_, rows, EK_DTYPE_INT64, count, (const float *)values,
                                 &numbers));
  }

  /// Allocates nothing, and may be called beside a reader on another thread.
  void bring_up(const void *ids, int id_width, int64_t count) {
    int32_t type = id_width == 8 ? EK_DTYPE_INT64 : EK_DTYPE_INT32;
    if (ids && count == 0) return;
    int32_t code = ek_optimizer_catch_up(optimizer_, ids, type, count);
    if (code == EK_ERROR_TOKEN_OUT_OF_RANGE) code = ek_table_synchronise(table_, nullptr, type, 0);
    check(code);
  }

  /// Parameters alone: what a reader of the whole weight needs.
  void bring_up_weight() { check(ek_table_synchronise(table_, nullptr, EK_DTYPE_INT64, 0)); }

  void set_steps(int64_t steps) { check(ek_optimizer_set_step_count(optimizer_, steps)); }

  bool is_behind() const {
    int32_t behind = 0;
    check(ek_optimizer_get(optimizer_, nullptr, &behind, nullptr, nullptr));
    return behind != 0;
  }

 private:
  void find_layout(const ek_optimizer_options &options) {
    int64_t count = 0;
    check(ek_optimizer_state_layout(&options, rows_, dim_, nullptr, 0, &count));
    layout_.resize((size_t)count);
    check(ek_optimizer_state_layout(&options, rows_, dim_, layout_.data(), count, &count));
  }

  /// Takes the tensors' addresses; whether one is new.
  bool look(const Tensor &weight, const std::vector<Tensor> &state) {
    void *at = memory_of(weight, "weight", rows_ * dim_, ScalarType::Float);
    if (!at && rows_ * dim_ > 0) refuse("the weight has no memory");
    if (state.size() != layout_.size())
      refuse(std::to_string(state.size()) + " arrays of state, not " +
             std::to_string(layout_.size()));
    std::vector<void *> addresses(state.size());
    for (size_t i = 0; i < state.size(); i++) {
      const ek_state_array &array = layout_[i];
      ScalarType type = array.dtype == EK_DTYPE_FLOAT32 ? ScalarType::Float
                        : array.dtype == EK_DTYPE_INT32 ? ScalarType::Int
                                                        : ScalarType::Char;
      int64_t count = array.rank == 2 ? rows_ * dim_ : rows_;
      addresses[i] = memory_of(state[i], array.name, count, type);
    }
    bool moved = at != weight_ || addresses != addresses_;
    if (!moved) return false;
    weight_ = at;
    addresses_ = std::move(addresses);
    state_ = state;
    return true;
  }

  const int64_t rows_, dim_;
  const bool catches_up_;
  std::vector<ek_state_array> layout_;
  std::vector<void *> addresses_;
  std::vector<Tensor> state_;
  void *weight_ = nullptr;
  ek_table *table_ = nullptr;
  ek_optimizer *optimizer_ = nullptr;
};

/// Steppers by handle, and those that leave rows behind by their weight's address.
class Registry {
 public:
  int64_t add(std::shared_ptr<Stepper> stepper) {
    std::lock_guard<std::mutex> guard(lock_);
    int64_t handle = ++last_;
    if (stepper->catches_up()) enter(stepper);
    by_handle_[handle] = std::move(stepper);
    return handle;
  }

  std::shared_ptr<Stepper> at(int64_t handle) {
    std::lock_guard<std::mutex> guard(lock_);
    auto found = by_handle_.find(handle);
    if (found == by_handle_.end()) refuse("no optimiser has the handle " + std::to_string(handle));
    return found->second;
  }

  /// The stepper of the weight whose memory an address is in.
  std::shared_ptr<Stepper> of(const void *address) {
    std::lock_guard<std::mutex> guard(lock_);
    auto after = by_weight_.upper_bound(address);
    if (after == by_weight_.begin()) return nullptr;
    const std::shared_ptr<Stepper> &found = std::prev(after)->second;
    return (const char *)address - (const char *)found->weight() < found->bytes() ? found : nullptr;
  }

  void follow(const std::shared_ptr<Stepper> &stepper, const Tensor &weight,
              const std::vector<Tensor> &state) {
    std::lock_guard<std::mutex> guard(lock_);
    const void *was = stepper->weight();
    stepper->follow(weight, state);
    if (!stepper->catches_up()) return;
    if (stepper->weight() != was) leave(was, stepper.get());
    enter(stepper);
  }

  void remove(int64_t handle) {
    std::shared_ptr<Stepper> last;  // Ends its life outside the lock.
    std::lock_guard<std::mutex> guard(lock_);
    auto found = by_handle_.find(handle);
    if (found == by_handle_.end()) return;
    last = std::move(found->second);
    by_handle_.erase(found);
    if (last->catches_up()) leave(last->weight(), last.get());
  }

 private:
  void enter(const std::shared_ptr<Stepper> &stepper) {
    by_weight_[stepper->weight()] = stepper;
    lazy_tables.store((int64_t)by_weight_.size(), std::memory_order_relaxed);
  }

  void leave(const void *weight, const Stepper *stepper) {
    auto found = by_weight_.find(weight);
    if (found != by_weight_.end() && found->second.get() == stepper) by_weight_.erase(found);
    lazy_tables.store((int64_t)by_weight_.size(), std::memory_order_relaxed);
  }

  std::mutex lock_;
  int64_t last_ = 0;
  std::unordered_map<int64_t, std::shared_ptr<Stepper>> by_handle_;
  std::map<const void *, std::shared_ptr<Stepper>> by_weight_;
};

/// Never destroyed: tensors may die after everything else of a process.
Registry &registry() {
  static Registry &only = *new Registry;
  return only;
}

ek_step_options numbers_of(double rate, double decay, double beta1, double beta2, double epsilon,
                           double scale, int64_t threads) {
  ek_step_options numbers = EK_STEP_OPTIONS_INIT;
  numbers.learning_rate = rate;
  numbers.weight_decay = decay;
  numbers.beta1 = beta1;
  numbers.beta2 = beta2;
  numbers.epsilon = epsilon;
  numbers.gradient_scale = (float)scale;
  numbers.threads = (int32_t)threads;
  return numbers;
}

int64_t optim_create(std::string rule, int64_t untouched, Tensor weight, std::vector<Tensor> state,
                     int64_t rows, int64_t dim, int64_t steps, double rate, double decay,
                     double beta1, double beta2, double epsilon) {
  ek_step_options numbers = numbers_of(rate, decay, beta1, beta2, epsilon, 1, 0);
  return registry().add(
      std::make_shared<Stepper>(rule, untouched, weight, state, rows, dim, numbers, steps));
}

void optim_step(int64_t handle, Tensor weight, std::vector<Tensor> state, std::optional<Tensor> ids,
                Tensor gradient, double rate, double decay, double beta1, double beta2,
                double epsilon, double scale, int64_t threads) {
  std::shared_ptr<Stepper> stepper = registry().at(handle);
  registry().follow(stepper, weight, state);
  stepper->step(ids, gradient, numbers_of(rate, decay, beta1, beta2, epsilon, scale, threads));
}

void optim_follow(int64_t handle, Tensor weight, std::vector<Tensor> state) {
  registry().follow(registry().at(handle), weight, state);
}

void optim_catch_up(int64_t handle, std::optional<Tensor> ids) {
  std::shared_ptr<Stepper> stepper = registry().at(handle);
  if (!ids) return stepper->bring_up_weight();
  bool wide = ids->scalar_type() == ScalarType::Long;
  ScalarType type = wide ? ScalarType::Long : ScalarType::Int;
  const void *rows = memory_of(*ids, "ids", ids->numel(), type);
  stepper->bring_up(rows, wide ? 8 : 4, ids->numel());
}

void optim_synchronise(int64_t handle) { registry().at(handle)->bring_up(nullptr, 8, 0); }

void optim_set_steps(int64_t handle, int64_t steps) { registry().at(handle)->set_steps(steps); }

bool optim_is_behind(int64_t handle) { return registry().at(handle)->is_behind(); }

void optim_abandon(int64_t handle) { registry().remove(handle); }

/// Where the number of weights that may have rows behind is to be read, by who calls no operator.
int64_t optim_lazy_tables() {
  static_assert(sizeof lazy_tables == sizeof(int64_t) && std::atomic<int64_t>::is_always_lock_free);
  return static_cast<int64_t>(reinterpret_cast<intptr_t>(&lazy_tables));
}

}  // namespace

void bring_up(const void *weight, const void *ids, int id_width, int64_t count) {
  std::shared_ptr<Stepper> stepper = registry().of(weight);
  if (!stepper) return;
  // The ids of a view of some rows count from its own first one.
  if (stepper->weight() == weight) return stepper->bring_up(ids, id_width, count);
  stepper->bring_up_weight();
}

void bring_up_all(const void *weight) {
  if (std::shared_ptr<Stepper> stepper = registry().of(weight)) stepper->bring_up_weight();
}

}  // namespace embedkernel

STABLE_TORCH_LIBRARY_FRAGMENT(embedkernel, m) {
  m.def(
      "optim_create(str rule, int untouched, Tensor weight, Tensor[] state, int rows, int dim, "
      "int steps, float rate, float decay, float beta1, float beta2, float epsilon) -> int");
  m.def(
      "optim_step(int handle, Tensor(a!) weight, Tensor(b!)[] state, Tensor? ids, Tensor gradient, "
      "float rate, float decay, float beta1, float beta2, float epsilon, float scale, int threads) "
      "-> ()");
  m.def("optim_follow(int handle, Tensor weight, Tensor[] state) -> ()");
  m.def("optim_catch_up(int handle, Tensor? ids) -> ()");
  m.def("optim_synchronise(int handle) -> ()");
  m.def("optim_set_steps(int handle, int steps) -> ()");
  m.def("optim_is_behind(int handle) -> bool");
  m.def("optim_abandon(int handle) -> ()");
  m.def("optim_lazy_tables() -> int");
}

STABLE_TORCH_LIBRARY_IMPL(embedkernel, CompositeExplicitAutograd, m) {
  m.impl("optim_create", TORCH_BOX(&embedkernel::optim_create));
  m.impl("optim_step", TORCH_BOX(&embedkernel::optim_step));
  m.impl("optim_follow", TORCH_BOX(&embedkernel::optim_follow));
  m.impl("optim_catch_up", TORCH_BOX(&embedkernel::optim_catch_up));
  m.impl("optim_synchronise", TORCH_BOX(&embedkernel::optim_synchronise));
  m.impl("optim_set_steps", TORCH_BOX(&embedkernel::optim_set_steps));
  m.impl("optim_is_behind", TORCH_BOX(&embedkernel::optim_is_behind));
  m.impl("optim_abandon", TORCH_BOX(&embedkernel::optim_abandon));
  m.impl("optim_lazy_tables", TORCH_BOX(&embedkernel::optim_lazy_tables));
}
