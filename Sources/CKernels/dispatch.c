// The one place where an instruction set's kernels are found.
#include "CKernels.h"

extern const ek_kernels ek_kernels_plain, ek_kernels_neon, ek_kernels_avx2, ek_kernels_avx512,
    ek_kernels_avx512bf16;

const ek_kernels *ek_kernels_for(ek_instruction_set set) {
  switch (set) {
    case EK_PLAIN: return &ek_kernels_plain;
#if defined(__aarch64__)
    case EK_NEON: return &ek_kernels_neon;
#endif
#if defined(__x86_64__)
    case EK_AVX2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c") &&
                     __builtin_cpu_supports("fma")
                 ? &ek_kernels_avx2
                 : NULL;
    case EK_AVX512: return __builtin_cpu_supports("avx512f") ? &ek_kernels_avx512 : NULL;
    case EK_AVX512_BF16:
      return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq")
                 ? &ek_kernels_avx512bf16
                 : NULL;
#endif
    default: return NULL;
  }
}
