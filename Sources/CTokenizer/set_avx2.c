// Encoding for AVX2 and BMI2.
#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "CTokenizer.h"

#define EK_TEXT_AVX2

#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"))), \
                             apply_to = function)
#include "encode.h"

const ek_text_kernels ek_text_kernels_avx2 = {piece_ends, encode, merge_piece};
#pragma clang attribute pop
#endif
