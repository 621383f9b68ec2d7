// The one place where an instruction set's encoding is found.
#include "CTokenizer.h"

extern const ek_text_kernels ek_text_kernels_base, ek_text_kernels_avx2, ek_text_kernels_avx512;

const ek_text_kernels *ek_text_kernels_for(ek_text_set set) {
  switch (set) {
    case EK_TEXT_BASE: return &ek_text_kernels_base;
#if defined(__x86_64__)
    case EK_TEXT_AVX2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
                     __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") &&
                     __builtin_cpu_supports("lzcnt")
                 ? &ek_text_kernels_avx2
                 : NULL;
    case EK_TEXT_AVX512:
      return ek_text_kernels_for(EK_TEXT_AVX2) && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                     __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2")
                 ? &ek_text_kernels_avx512
                 : NULL;
#endif
    default: return NULL;
  }
}

/// The best that this CPU has.
static const ek_text_kernels *best(void) {
  // What every thread finds is the same.
  static const ek_text_kernels *found;
  const ek_text_kernels *kernels = __atomic_load_n(&found, __ATOMIC_RELAXED);
  for (ek_text_set set = EK_TEXT_SETS; kernels == NULL && set-- > EK_TEXT_BASE;)
    kernels = ek_text_kernels_for(set);
  __atomic_store_n(&found, kernels, __ATOMIC_RELAXED);
  return kernels;
}

size_t ek_piece_ends(const uint8_t *text, size_t start, size_t length, size_t count,
                     const uint64_t *joins, uint32_t *ends) {
  return best()->piece_ends(text, start, length, count, joins, ends);
}

size_t ek_encode(ek_encoder *encoder, const ek_vocabulary *vocabulary, const uint8_t *text,
                 size_t *position, size_t count, int32_t *ids, size_t room, bool *is_long) {
  return best()->encode(encoder, vocabulary, text, position, count, ids, room, is_long);
}

size_t ek_merge(const ek_vocabulary *vocabulary, const uint8_t *piece, size_t length,
                int32_t *ids) {
  return best()->merge(vocabulary, piece, length, ids);
}
