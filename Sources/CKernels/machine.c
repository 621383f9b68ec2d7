// What the machine offers that decides how bytes should move.
#include "CKernels.h"

#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

void ek_store_fence(void) {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

ek_microarchitecture ek_this_microarchitecture(void) {
#if defined(__x86_64__)
  unsigned highest, eax, ebx, ecx, edx;
  char maker[12];
  if (!__get_cpuid(0, &highest, &ebx, &ecx, &edx)) return EK_OTHER_MICROARCHITECTURE;
  memcpy(maker, &ebx, 4), memcpy(maker + 4, &edx, 4), memcpy(maker + 8, &ecx, 4);
  if (memcmp(maker, "GenuineIntel", 12) != 0 || !__get_cpuid(1, &eax, &ebx, &ecx, &edx))
    return EK_OTHER_MICROARCHITECTURE;
  const unsigned family = eax >> 8 & 0xF, model = (eax >> 4 & 0xF) | (eax >> 12 & 0xF0);
  if (family == 6 && (model == 143 || model == 207)) return EK_GOLDEN_COVE;
#endif
  return EK_OTHER_MICROARCHITECTURE;
}

size_t ek_core_cache_bytes(void) {
#if defined(__linux__) && defined(_SC_LEVEL2_CACHE_SIZE)
  long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (l2 > 0) return (size_t)l2;
#elif defined(__APPLE__)
  return ek_last_level_cache_bytes();
#endif
  return 0;
}

size_t ek_last_level_cache_bytes(void) {
#if defined(__linux__) && defined(_SC_LEVEL3_CACHE_SIZE)
  long l3 = sysconf(_SC_LEVEL3_CACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
  if (l3 > 0) return (size_t)l3;
  if (l2 > 0) return (size_t)l2;
#elif defined(__APPLE__)
  uint64_t bytes = 0;
  size_t size = sizeof bytes;
  if (sysctlbyname("hw.perflevel0.l2cachesize", &bytes, &size, NULL, 0) == 0 && bytes)
    return (size_t)bytes;
#endif
  return 0;
}
