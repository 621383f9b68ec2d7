// libFuzzer, where the program is linked with it: scripts/fuzz does that.

#ifndef CFUZZDRIVER_H
#define CFUZZDRIVER_H

#include <stddef.h>
#include <stdint.h>

/// Runs libFuzzer on `test` with its own command line, of which the first word is the program's
/// name.
///
/// Ends the process where an input fails. Returns its status, or -1 where the program has no
/// libFuzzer.
int fuzz_driver_run(int count, char *_Nullable *_Nonnull words,
                    int (*_Nonnull test)(const uint8_t *_Nullable bytes, size_t count));

#endif
