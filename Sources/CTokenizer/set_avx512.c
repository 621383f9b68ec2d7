// Encoding for AVX-512 with VBMI2, which packs the places of bits.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "CTokenizer.h"

#define EK_TEXT_AVX512

#pragma clang attribute push(                                                                      \
    __attribute__((target(                                                                         \
        "avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512vbmi2,avx2,bmi,bmi2,lzcnt,popcnt"))), \
    apply_to = function)
#include "encode.h"

const ek_text_kernels ek_text_kernels_avx512 = {piece_ends, encode, merge_piece};
#pragma clang attribute pop
#endif
