// Small matrix products on vectors of 4 floats, which every machine has: plain C, and NEON.
#define EK_LANES 4
#include "products.h"

EK_PRODUCTS(plain, )
