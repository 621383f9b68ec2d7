// The operations for AVX-512.
#include <math.h>
#include <string.h>

#include "CTransformer.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#define ET_TABLE et_operations_avx512
#include "operations.h"
#pragma clang attribute pop
#endif
