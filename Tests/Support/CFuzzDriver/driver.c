#include "CFuzzDriver.h"

// Weak, so that a build without libFuzzer links too.
__attribute__((weak)) int LLVMFuzzerRunDriver(int *count, char ***words,
                                              int (*test)(const uint8_t *, size_t));

int fuzz_driver_run(int count, char **words, int (*test)(const uint8_t *, size_t)) {
  if (!LLVMFuzzerRunDriver) return -1;
  return LLVMFuzzerRunDriver(&count, &words, test);
}
