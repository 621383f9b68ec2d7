// Small matrix products, AVX2 with fused multiply-add: 8 floats a vector.
#define EK_LANES 8
#include "products.h"

#if defined(__x86_64__)
EK_PRODUCTS(avx2, __attribute__((target("avx2,fma"))))
#endif
