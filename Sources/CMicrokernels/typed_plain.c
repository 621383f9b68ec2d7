// Two-byte elements in plain C.
#include "lanes_plain.h"
#include "typed.h"
