// Adding and summing a table along the diagonals of a tile of two-byte logits, AVX2 and F16C.
#if defined(__x86_64__)
#include "lanes_avx2.h"
#include "distance_typed.h"
#endif
