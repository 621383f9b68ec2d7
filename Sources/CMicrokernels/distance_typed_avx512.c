// Adding and summing a table along the diagonals of a tile of two-byte logits, AVX-512F.
#if defined(__x86_64__)
#include "lanes_avx512.h"
#include "distance_typed.h"
#endif
