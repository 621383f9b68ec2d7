// Two-byte elements, AVX2 and F16C: 16 elements a step, streaming stores of half lines.
#if defined(__x86_64__)
#include "lanes_avx2.h"
#include "typed.h"
#endif
