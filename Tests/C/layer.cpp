// A C++ program on the installed library: handles in owners, a rotation, a file written and read.
#include <embedkernel.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Error : std::runtime_error {
  int code;
  Error() : std::runtime_error(ek_last_error()->message), code(ek_last_error()->code) {}
};

void check(int code) {
  if (code != EK_OK) throw Error();
}

template <auto destroy>
struct Destroy {
  template <class Handle>
  void operator()(Handle *handle) const {
    destroy(handle);
  }
};
using Rotary = std::unique_ptr<ek_rotary, Destroy<ek_rotary_destroy>>;
using File = std::unique_ptr<ek_safetensors, Destroy<ek_safetensors_destroy>>;

void expect(bool holds, const char *what) {
  if (!holds) throw std::runtime_error(what);
}

void turns() {
  const std::string json = R"({"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4,
    "rope_theta": 10000.0, "max_position_embeddings": 128})";
  ek_rotary *made = nullptr;
  check(ek_rotary_from_config(json.data(), json.size(), nullptr, EK_LAYOUT_MODEL, 0, &made));
  const Rotary rotary(made);
  ek_rotary_info info;
  check(ek_rotary_get(rotary.get(), &info));
  expect(info.head_dim == 16 && info.axes == 1, "the configuration was read otherwise");
  std::vector<float> queries(2 * 5 * 16, 1.0f), turned(queries.size());
  check(ek_rotate(rotary.get(), queries.data(), turned.data(), EK_DTYPE_FLOAT32, 1, 2, 5, nullptr));
  const float expected = std::cos(1.0f) - std::sin(1.0f);
  expect(std::fabs(turned[16] - expected) < 1e-6f, "a pair was turned otherwise");
}

void reads(const std::string &path) {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const int64_t shape[] = {2, 3};
  const ek_tensor tensor{"wte", EK_DTYPE_FLOAT32, 2, shape, values.data(), 24, nullptr};
  check(ek_safetensors_write(path.c_str(), &tensor, 1, nullptr, 0));
  ek_safetensors *opened = nullptr;
  check(ek_safetensors_open(path.c_str(), &opened));
  const File file(opened);
  ek_tensor found;
  check(ek_safetensors_find(file.get(), "wte", &found));
  expect(found.bytes == 24 && static_cast<const float *>(found.data)[5] == 6,
         "the file is another");
  try {
    check(ek_safetensors_find(file.get(), "wpe", &found));
    expect(false, "a tensor was found that is not there");
  } catch (const Error &error) {
    expect(error.code == EK_ERROR_MISSING_TENSOR, "another error was told");
  }
}

}  // namespace

int main(int count, char **arguments) {
  try {
    turns();
    reads(count > 1 ? arguments[1] : "layer.safetensors");
    std::printf("EmbedKernel %s: well\n", ek_version());
    return 0;
  } catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
