// The operations for AVX2 and FMA.
#include <math.h>
#include <string.h>

#include "CTransformer.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define ET_TABLE et_operations_avx2
#include "operations.h"
#pragma clang attribute pop
#endif
