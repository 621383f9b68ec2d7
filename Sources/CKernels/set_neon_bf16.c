// The kernels for AArch64 with its conversion to bfloat16.
#if defined(__aarch64__)
#include <arm_neon.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "CKernels.h"

#define EK_WIDTH 4
#define EK_REGISTERS 32
#define EK_HAS_BF16

#pragma clang attribute push(__attribute__((target("bf16"))), apply_to = function)
#include "kernels.h"

const ek_kernels ek_kernels_neon_bf16 = {EK_KERNELS};
#pragma clang attribute pop
#endif
