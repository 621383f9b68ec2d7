// Linked into a test process, it turns off the user's tuning file before anything can read it.
#ifndef EMBEDKERNEL_TUNING_OFF_H
#define EMBEDKERNEL_TUNING_OFF_H

/// Whether the variable was set by this library.
int tuning_is_off(void);

#endif
