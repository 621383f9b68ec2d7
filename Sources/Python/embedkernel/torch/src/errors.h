// Errors as exceptions that PyTorch turns into Python's. std::out_of_range becomes an IndexError in
// every release; what should be a ValueError or MemoryError becomes a RuntimeError in some, so the
// kind of the last one is kept beside it, for the Python of this package to make good.
#ifndef EMBEDKERNEL_TORCH_ERRORS_H
#define EMBEDKERNEL_TORCH_ERRORS_H

#include <embedkernel.h>

#include <stdexcept>
#include <string>

namespace embedkernel {

/// What this thread's last exception should be in Python, and its text.
struct Failure {
  enum Kind { none, value, memory } kind = none;
  std::string message;
};
inline thread_local Failure last_failure;

/// A ValueError.
struct ValueError : std::invalid_argument {
  explicit ValueError(const std::string &message) : std::invalid_argument(message) {
    last_failure = {Failure::value, message};
  }
};

/// Throws the error of this thread's last call.
[[noreturn]] inline void throw_last_error(int32_t code) {
  std::string message = ek_last_error()->message;
  switch (code) {
    case EK_ERROR_TOKEN_OUT_OF_RANGE:
    case EK_ERROR_SEGMENT_OUT_OF_RANGE:
    case EK_ERROR_POSITION_OUT_OF_RANGE:
    case EK_ERROR_CONTEXT_TOO_LONG:
    case EK_ERROR_DOCUMENT_TOO_LONG:
    case EK_ERROR_INDEX_OUT_OF_RANGE: throw std::out_of_range(message);
    case EK_ERROR_OUT_OF_MEMORY:
      last_failure = {Failure::memory, message};
      throw std::runtime_error(message);
    case EK_ERROR_INVALID_OPTION:
    case EK_ERROR_WRONG_ELEMENT_COUNT:
    case EK_ERROR_INVALID_SIZE:
    case EK_ERROR_INVALID_VALUE:
    case EK_ERROR_INVALID_FIELD:
    case EK_ERROR_SIZE_OVERFLOW:
    case EK_ERROR_UNSUPPORTED: throw ValueError(message);
    default: throw std::runtime_error(std::string(ek_error_name(code)) + ": " + message);
  }
}

inline void check(int32_t code) {
  if (__builtin_expect(code != EK_OK, 0)) throw_last_error(code);
}

}  // namespace embedkernel

#endif
