// The kernels for AArch64, whose baseline has NEON: 32 registers, and conversions of binary16.
#if defined(__aarch64__)
#define EK_WIDTH 4
#define EK_REGISTERS 32

#include "kernels.h"

const ek_kernels ek_kernels_neon = {EK_KERNELS};
#endif
