// What the machine offers that decides how bytes should move.
#include "CKernels.h"

#include <unistd.h>

#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

void ek_store_fence(void) {
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
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
