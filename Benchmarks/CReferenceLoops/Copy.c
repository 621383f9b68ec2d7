// Copies of the output, the ceiling of anything that writes it: by `memcpy`, and by
// non-temporal stores, which spare the read of each line that is about to be overwritten.
// The source is prefetched 4 KiB ahead: that measured 53 against 45 GB/s on one thread.

#include "CReferenceLoops.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

// Floats until `pointer` is aligned to 64 bytes, at most `count`.
static size_t floats_to_alignment(const float *pointer, size_t count) {
  const size_t floats = ((64 - ((uintptr_t)pointer & 63)) & 63) / sizeof(float);
  return floats < count ? floats : count;
}

__attribute__((target("avx512f"))) static void copy_avx512(float *destination, const float *source,
                                                           size_t count) {
  size_t i = floats_to_alignment(destination, count);
  memcpy(destination, source, i * sizeof(float));
  for (; i + 64 <= count; i += 64) {
    for (size_t line = 0; line < 64; line += 16) {
      // An address past the end is never fetched on demand, only hinted at.
      _mm_prefetch((const char *)(source + i + line) + 4096, _MM_HINT_T0);
      _mm512_stream_ps(destination + i + line, _mm512_loadu_ps(source + i + line));
    }
  }
  memcpy(destination + i, source + i, (count - i) * sizeof(float));
  _mm_sfence();
}

__attribute__((target("avx2"))) static void copy_avx2(float *destination, const float *source,
                                                      size_t count) {
  size_t i = floats_to_alignment(destination, count);
  memcpy(destination, source, i * sizeof(float));
  for (; i + 32 <= count; i += 32) {
    for (size_t line = 0; line < 32; line += 16) {
      _mm_prefetch((const char *)(source + i + line) + 4096, _MM_HINT_T0);
      _mm256_stream_ps(destination + i + line, _mm256_loadu_ps(source + i + line));
      _mm256_stream_ps(destination + i + line + 8, _mm256_loadu_ps(source + i + line + 8));
    }
  }
  memcpy(destination + i, source + i, (count - i) * sizeof(float));
  _mm_sfence();
}
#endif

void crl_copy_streaming(float *destination, const float *source, size_t count) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    copy_avx512(destination, source, count);
    return;
  }
  if (__builtin_cpu_supports("avx2")) {
    copy_avx2(destination, source, count);
    return;
  }
#endif
  memcpy(destination, source, count * sizeof(float));
}

void crl_copy_memcpy(float *destination, const float *source, size_t count) {
  memcpy(destination, source, count * sizeof(float));
}

const char *crl_instruction_set(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    return "avx512";
  }
  if (__builtin_cpu_supports("avx2")) {
    return "avx2";
  }
#endif
  return "plain";
}
