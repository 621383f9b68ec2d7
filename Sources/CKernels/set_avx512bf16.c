// The kernels for AVX-512 with its conversion to bfloat16.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "CKernels.h"

#define EK_WIDTH 16
#define EK_REGISTERS 32
#define EK_HAS_BF16
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512bf16"))), \
                             apply_to = function)
#include "kernels.h"

const ek_kernels ek_kernels_avx512bf16 = {EK_KERNELS};
#pragma clang attribute pop
#endif
