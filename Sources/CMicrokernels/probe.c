#include "CMicrokernels.h"
int ek_probe(void) { return __builtin_cpu_supports("avx512f") ? 2 : __builtin_cpu_supports("avx2"); }
