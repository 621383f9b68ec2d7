// The kernels for any machine: vectors become what its baseline has, SSE2 on x86-64.
#define EK_WIDTH 4
#define EK_REGISTERS 16

#include "kernels.h"

const ek_kernels ek_kernels_plain = {EK_KERNELS};
