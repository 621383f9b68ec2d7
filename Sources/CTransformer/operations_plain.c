// The operations for any machine: the vectors become what the target has.
#define ET_TABLE et_operations_plain
#include "operations.h"
