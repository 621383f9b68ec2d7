// The one place where an instruction set's kernels are found.
#include "CKernels.h"

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

extern const ek_kernels ek_kernels_plain, ek_kernels_neon, ek_kernels_neon_bf16, ek_kernels_avx2,
    ek_kernels_avx512, ek_kernels_avx512bf16;

#if defined(__aarch64__)
/// Whether this CPU converts to bfloat16.
static _Bool has_bf16(void) {
#if defined(__linux__)
  enum { bf16 = 1 << 14 };  // HWCAP2_BF16
  return (getauxval(AT_HWCAP2) & bf16) != 0;
#elif defined(__APPLE__)
  int has = 0;
  size_t size = sizeof has;
  return sysctlbyname("hw.optional.arm.FEAT_BF16", &has, &size, NULL, 0) == 0 && has;
#else
  return 0;
#endif
}
#endif

const ek_kernels *ek_kernels_for(ek_instruction_set set) {
  switch (set) {
    case EK_PLAIN: return &ek_kernels_plain;
#if defined(__aarch64__)
    case EK_NEON: return &ek_kernels_neon;
    case EK_NEON_BF16: return has_bf16() ? &ek_kernels_neon_bf16 : NULL;
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
