// PCRE2 over 8-bit code units, which for us are the bytes of UTF-8.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
