// Encoding for any machine: SSE2 on x86-64, NEON on AArch64.
#include <stdint.h>
#include <string.h>

#include "CTokenizer.h"

#include "encode.h"

const ek_text_kernels ek_text_kernels_base = {piece_ends, encode, merge_piece};
