// Callgrind's client requests as C functions: they turn counting on and off around a kernel.
// Without valgrind's headers at build time the functions do nothing, and say so.

#ifndef C_CALLGRIND_H
#define C_CALLGRIND_H

#include <stdbool.h>

/// Whether this build knows the requests and this process runs under valgrind.
bool cg_is_available(void);

/// Whether valgrind's headers were there when this was built.
bool cg_is_built_in(void);

/// Empties the simulated caches, sets all counts to zero and starts to count.
void cg_begin(void);

/// Stops counting.
void cg_end(void);

/// Has callgrind write what was counted last, under `name`.
void cg_write(const char *name);

#endif
