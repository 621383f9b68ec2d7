#ifndef C_MICROKERNELS_H
#define C_MICROKERNELS_H
#include <stddef.h>
#include <stdint.h>
int ek_probe(void);
#endif
