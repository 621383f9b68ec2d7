// The kernels for AVX2, F16C and FMA.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "CKernels.h"

#define EK_WIDTH 8
#define EK_REGISTERS 16

#pragma clang attribute push(__attribute__((target("avx2,f16c,fma"))), apply_to = function)
#include "kernels.h"
#include "distance_avx2.h"

const ek_kernels ek_kernels_avx2 = {EK_KERNELS.add_by_distance = add_by_distance_avx2};
#pragma clang attribute pop
#endif
