// Errors of the C library as exceptions that PyTorch turns into Python's: IndexError for what lies
// outside a table, ValueError, MemoryError, FileNotFoundError's kin as RuntimeError.
//
// An operator has no other way to choose: what it throws is translated by its standard type.
#ifndef EMBEDKERNEL_TORCH_ERRORS_H
#define EMBEDKERNEL_TORCH_ERRORS_H

#include <embedkernel.h>

#include <new>
#include <stdexcept>
#include <string>

namespace embedkernel {

/// Throws the error of this thread's last call.
[[noreturn]] inline void throw_last_error(int32_t code) {
  std::string message = ek_last_error()->message;
  switch (code) {
    case EK_ERROR_TOKEN_OUT_OF_RANGE:
    case EK_ERROR_SEGMENT_OUT_OF_RANGE:
    case EK_ERROR_POSITION_OUT_OF_RANGE:
    case EK_ERROR_CONTEXT_TOO_LONG:
    case EK_ERROR_DOCUMENT_TOO_LONG:
    case EK_ERROR_INDEX_OUT_OF_RANGE:
      throw std::out_of_range(message);
    case EK_ERROR_OUT_OF_MEMORY:
      throw std::bad_alloc();
    case EK_ERROR_INVALID_OPTION:
    case EK_ERROR_WRONG_ELEMENT_COUNT:
    case EK_ERROR_INVALID_SIZE:
    case EK_ERROR_INVALID_VALUE:
    case EK_ERROR_INVALID_FIELD:
    case EK_ERROR_SIZE_OVERFLOW:
    case EK_ERROR_UNSUPPORTED:
      throw std::invalid_argument(message);
    default:
      throw std::runtime_error(std::string(ek_error_name(code)) + ": " + message);
  }
}

inline void check(int32_t code) {
  if (__builtin_expect(code != EK_OK, 0)) throw_last_error(code);
}

}  // namespace embedkernel

#endif
