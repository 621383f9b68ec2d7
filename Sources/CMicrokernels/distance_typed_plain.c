// Adding and summing a table along the diagonals of a tile of two-byte logits in plain C.
#include "lanes_plain.h"
#include "distance_typed.h"
