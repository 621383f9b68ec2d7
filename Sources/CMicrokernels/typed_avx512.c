// Two-byte elements, AVX-512F: 32 elements a step, streaming stores of whole lines.
#if defined(__x86_64__)
#include "lanes_avx512.h"
#include "typed.h"
#endif
