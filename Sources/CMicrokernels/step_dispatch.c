// The steps of each instruction set.
#include "CMicrokernels.h"

#define DECLARE(set)                                                                      \
  void ek_step_sgd_##set(const ek_step_tile *), ek_step_momentum_##set(const ek_step_tile *),        \
      ek_step_adagrad_##set(const ek_step_tile *),                                        \
      ek_step_row_wise_adagrad_##set(const ek_step_tile *),                               \
      ek_step_adam_##set(const ek_step_tile *), ek_step_lamb_##set(const ek_step_tile *), \
      ek_step_catch_up_##set(const ek_step_tile *),                                       \
      ek_step_catch_up_all_##set(const ek_step_tile *), ek_step_read_##set(const ek_step_tile *);

#define KERNELS(set)                                                       \
  {                                                                        \
    .step_f32 =                                                            \
        {                                                                  \
            [EK_STEP_SGD] = ek_step_sgd_##set,                             \
            [EK_STEP_MOMENTUM] = ek_step_momentum_##set,                   \
            [EK_STEP_ADAGRAD] = ek_step_adagrad_##set,                     \
            [EK_STEP_ROW_WISE_ADAGRAD] = ek_step_row_wise_adagrad_##set,   \
            [EK_STEP_ADAM] = ek_step_adam_##set,                           \
            [EK_STEP_LAMB] = ek_step_lamb_##set,                           \
            [EK_STEP_CATCH_UP] = ek_step_catch_up_##set,                   \
            [EK_STEP_CATCH_UP_ALL] = ek_step_catch_up_all_##set,           \
            [EK_STEP_READ] = ek_step_read_##set,                           \
        },                                                                 \
  }

DECLARE(plain)
const ek_step_kernels ek_steps_plain = KERNELS(plain);

#if defined(__x86_64__)
DECLARE(avx2)
DECLARE(avx512)
const ek_step_kernels ek_steps_avx2 = KERNELS(avx2);
const ek_step_kernels ek_steps_avx512 = KERNELS(avx512);
#endif
