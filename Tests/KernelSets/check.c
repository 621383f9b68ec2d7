// Holds an instruction set's kernels against the plain ones, each by the check that has its name,
// and prints a digest of each kernel's results, for machines to be held against each other.
//
//   check-kernels SET            plain or neon or ...: all kernels
//   check-kernels SET KERNEL     one; and with a third argument the digest after each case
//
// A kernel of the table without a check does not link.
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SLOTS = 16, ROOM = 4 << 20, MARGIN = 64 };

const ek_kernels *sets[BOTH];
const size_t lengths[] = {1,   2,   3,   4,   5,   7,   8,   9,    15,   16,   17,   31,  32,  33,
                          47,  48,  49,  63,  64,  65,  79,  96,   97,   127,  128,  129, 131, 136,
                          255, 256, 257, 385, 512, 768, 769, 1023, 1024, 1025, 1100, 2053};
const size_t length_count = sizeof lengths / sizeof *lengths;

static const char *kernel;
static bool traces;
static uint64_t digest, state;
static int failures;

// MARK: Numbers

uint32_t draw(void) {
  state = state * 6364136223846793005 + 1442695040888963407;
  return (uint32_t)(state >> 32);
}

size_t draw_below(size_t bound) { return (size_t)((uint64_t)draw() * bound >> 32); }

float draw_float(float least, float most) {
  return least + (most - least) * ((float)(draw() >> 8) * 0x1p-24f);
}

void fill_floats(float *at, size_t count, float least, float most) {
  for (size_t i = 0; i < count; i++) at[i] = draw_float(least, most);
}

void fill_bytes(void *at, size_t count) {
  for (size_t i = 0; i < count; i++) ((uint8_t *)at)[i] = (uint8_t)(draw() >> 13);
}

void fill_narrow(uint16_t *at, size_t count) {
  for (size_t i = 0; i < count; i++) at[i] = (uint16_t)(draw() >> 9) & 0xBFFF;
}

// MARK: Memory

/// Slots of inputs, then of each set's results; pages that nobody may touch stand between them.
static char *slot_end(int slot) {
  static char *all;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE), step = ROOM + page;
  if (!all) {
    all = mmap(NULL, 3 * SLOTS * step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) abort();
    for (size_t i = 0; i < 3 * SLOTS; i++)
      if (mprotect(all + i * step + ROOM, page, PROT_NONE)) abort();
  }
  return all + (size_t)slot * step + ROOM;
}

static void *place(int slot, size_t bytes) {
  if (bytes + MARGIN > ROOM) {
    fprintf(stderr, "check-kernels: %zu bytes do not fit a slot\n", bytes);
    abort();
  }
  return slot_end(slot) - bytes;
}

void *input(int slot, size_t bytes) { return place(slot, bytes); }

float *input_floats(int slot, size_t count) {
  float *at = input(slot, count * sizeof *at);
  fill_floats(at, count, -1, 1);
  return at;
}

static size_t result_bytes[SLOTS];

void *zeros(int s, int slot, size_t bytes) {
  char *at = place(SLOTS * (1 + s) + slot, bytes);
  result_bytes[slot] = bytes;
  memset(at - MARGIN, 0x5A, MARGIN);
  memset(at, 0, bytes);
  return at;
}

void *result(int s, int slot, size_t bytes) {
  enum { FLOATS = 4096 };
  static float pattern[FLOATS];
  if (pattern[0] == 0)
    for (size_t i = 0; i < FLOATS; i++)
      pattern[i] = (float)(int)((i * 2654435761u >> 8 & 0xFFFF) + 1) * 0x1p-15f - 1;
  char *at = zeros(s, slot, bytes);
  for (size_t i = 0; i < bytes; i += sizeof pattern)
    memcpy(at + i, pattern, bytes - i < sizeof pattern ? bytes - i : sizeof pattern);
  return at;
}

// MARK: Comparison

void begin_case(void) { memset(result_bytes, 0, sizeof result_bytes); }

static void say(const char *what, va_list arguments) {
  char text[400];
  vsnprintf(text, sizeof text, what, arguments);
  if (failures++ < 20) fprintf(stderr, "check-kernels: %s: %s\n", kernel, text);
}

void fail(const char *text, ...) {
  va_list arguments;
  va_start(arguments, text);
  say(text, arguments);
  va_end(arguments);
}

static void digest_bytes(const char *at, size_t bytes) {
  for (size_t i = 0; i < bytes; i += 8) {
    uint64_t word = 0;
    memcpy(&word, at + i, bytes - i < 8 ? bytes - i : 8);
    digest = (digest ^ word) * 0x9E3779B97F4A7C15;
    digest ^= digest >> 29;
  }
}

static void compare(bool whole, const char *what, va_list arguments) {
  for (int slot = 0; slot < SLOTS; slot++) {
    const size_t bytes = result_bytes[slot], seen = whole ? bytes : 0;
    if (!bytes) continue;
    const char *a = place(SLOTS + slot, bytes), *b = place(2 * SLOTS + slot, bytes);
    for (size_t i = 0; i < MARGIN; i++)
      if (a[(ptrdiff_t)i - MARGIN] != 0x5A || b[(ptrdiff_t)i - MARGIN] != 0x5A) {
        fail("writes before result %d", slot);
        break;
      }
    if (memcmp(a, b, seen) != 0) {
      size_t i = 0;
      while (a[i] == b[i]) i++;
      va_list again;
      va_copy(again, arguments);
      fail("result %d differs at byte %zu of %zu:", slot, i, bytes);
      say(what, again);
      va_end(again);
    }
    digest_bytes(a, seen);
  }
  if (!traces) return;
  printf("%016llx ", (unsigned long long)digest);
  vprintf(what, arguments);
  putchar('\n');
}

void agree(const char *what, ...) {
  va_list arguments;
  va_start(arguments, what);
  compare(true, what, arguments);
  va_end(arguments);
}

void stay_inside(const char *what, ...) {
  va_list arguments;
  va_start(arguments, what);
  compare(false, what, arguments);
  va_end(arguments);
}

void near(int s, const char *what, size_t at, double value, double expected, double bound) {
  const double error = value > expected ? value - expected : expected - value;
  if (!(error <= bound))
    fail("%s of the %s set is %.9g at %zu, not within %.3g of %.9g", what, s ? "given" : "plain",
         value, at, bound, expected);
}

// MARK: Kernels

#define DECLARE(name) void check_##name(void);
#define DECLARE_STEP(code, name) DECLARE(name)
EK_EACH_KERNEL(DECLARE)
EK_EACH_STEP_KERNEL(DECLARE_STEP)

typedef void (*entry)(void);

static void run(const char *name, const char *only, void (*check)(void), entry given, entry plain,
                bool is_plain) {
  if (only && strcmp(only, name) != 0) return;
  MARK(MARK_KERNEL);
  kernel = name;
  state = 0x853C49E6748FEA9B;
  digest = 0;
  if (!given || (given == plain) != is_plain) fail("is not this set's own");
  check();
  printf("%s %016llx\n", name, (unsigned long long)digest);
}

static const ek_kernels *named(const char *name) {
#if defined(__aarch64__)
  if (strcmp(name, "neon") == 0) return ek_kernels_for(EK_NEON);
  if (strcmp(name, "neon_bf16") == 0) return ek_kernels_for(EK_NEON_BF16);
#elif defined(__x86_64__) && defined(ALL_SETS)
  if (strcmp(name, "avx2") == 0) return ek_kernels_for(EK_AVX2);
  if (strcmp(name, "avx512") == 0) return ek_kernels_for(EK_AVX512);
  if (strcmp(name, "avx512bf16") == 0) return ek_kernels_for(EK_AVX512_BF16);
#endif
  return strcmp(name, "plain") == 0 ? sets[0] : NULL;
}

int main(int count, char **arguments) {
  extern const ek_kernels ek_kernels_plain;
  sets[0] = &ek_kernels_plain;
  sets[1] = count > 1 ? named(arguments[1]) : NULL;
  if (!sets[1]) {
    fprintf(stderr, "check-kernels: no set '%s' here\n", count > 1 ? arguments[1] : "");
    return 2;
  }
  const char *only = count > 2 ? arguments[2] : NULL;
  traces = count > 3;
  const bool is_plain = sets[1] == sets[0];
#define RUN(name) \
  run(#name, only, check_##name, (entry)sets[1]->name, (entry)sets[0]->name, is_plain);
#define RUN_STEP(code, name) \
  run(#name, only, check_##name, (entry)sets[1]->step[code], (entry)sets[0]->step[code], is_plain);
  EK_EACH_KERNEL(RUN)
  EK_EACH_STEP_KERNEL(RUN_STEP)
  if (failures) fprintf(stderr, "check-kernels: %d failures of %s\n", failures, arguments[1]);
  return failures != 0;
}
