// All kernels, and the table of them, for the instruction set of the file that includes this,
// inside a `#pragma clang attribute push` that allows its instructions, after defining
//
//   EK_WIDTH, EK_REGISTERS   floats of a register, and how many the set has
//   EK_HAS_BF16              where it converts to bfloat16
//
// A set's table is `EK_KERNELS`, after which it may name kernels of its own instead.
#include "CKernels.h"

#include "attention.h"
#include "bag.h"
#include "distance.h"
#include "embed.h"
#include "embed_rows.h"
#include "gelu.h"
#include "ids.h"
#include "layer_norm.h"
#include "normalize.h"
#include "product.h"
#include "rotate.h"
#include "row_sum.h"
#include "rows.h"
#include "step_adagrad.h"
#include "step_adam.h"
#include "step_lamb.h"
#include "step_sgd.h"

#pragma clang diagnostic ignored "-Winitializer-overrides"

#define EK_ENTRY(name) .name = name,
#define EK_STEP_ENTRY(code, name) [code] = name,
#define EK_KERNELS EK_EACH_KERNEL(EK_ENTRY).step = {EK_EACH_STEP_KERNEL(EK_STEP_ENTRY)},

#define EK_ONE(...) +1
_Static_assert(sizeof(ek_kernels) ==
                   (EK_EACH_KERNEL(EK_ONE) EK_EACH_STEP_KERNEL(EK_ONE)) * sizeof(void (*)(void)),
               "EK_EACH_KERNEL and EK_EACH_STEP_KERNEL name every kernel of the table");
#undef EK_ONE
