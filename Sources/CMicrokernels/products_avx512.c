// Small matrix products, AVX-512: 16 floats a vector.
#define EK_LANES 16
#include "products.h"

#if defined(__x86_64__)
EK_PRODUCTS(avx512, __attribute__((target("avx512f"))))
#endif
