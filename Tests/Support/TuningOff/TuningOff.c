// Tests hold the built-in limits to account, whatever `embedkernel tune` has saved on the machine.
#define _POSIX_C_SOURCE 200809L
#include "TuningOff.h"

#include <stdlib.h>
#include <string.h>

// Runs when the process is loaded. Processes that tests start inherit it.
__attribute__((constructor)) static void turn_off(void) { setenv("EMBEDKERNEL_TUNING", "off", 1); }

int tuning_is_off(void) {
  const char *value = getenv("EMBEDKERNEL_TUNING");
  return value && strcmp(value, "off") == 0;
}
