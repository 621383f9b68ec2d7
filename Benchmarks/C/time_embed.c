// What a call of ek_embed takes where the batch is small: nanoseconds at (50257, 8, 4, 256) on one
// thread, beside a plain loop over the same rows, and an empty batch, which is the call alone.
//
//   cc -O2 -march=native Benchmarks/C/time_embed.c $(pkg-config --cflags --libs embedkernel) -o
//   time_embed
//   ./time_embed [turns]
//
// Turns of the three alternate; a figure is the median of the turns' means of 200 calls.
#define _POSIX_C_SOURCE 200809L
#include <embedkernel.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { V = 50257, B = 8, T = 4, D = 256, N = B * T, CALLS = 200, KINDS = 3 };

static float *tokens, *positions, *output;
static int64_t ids[N];

static void call(int64_t batch) {
  ek_embed_options options = EK_EMBED_OPTIONS_INIT;
  options.threads = 1;
  if (ek_embed(ids, EK_DTYPE_INT64, batch, T, tokens, EK_DTYPE_FLOAT32, V, D, positions, T, output,
               EK_DTYPE_FLOAT32, &options) != EK_OK) {
    fprintf(stderr, "%s\n", ek_last_error()->message);
    exit(1);
  }
}

static void loop(void) {
  for (int n = 0; n < N; n++) {
    const float *token = tokens + ids[n] * D, *position = positions + n % T * D;
    for (int i = 0; i < D; i++) output[n * D + i] = token[i] + position[i];
  }
  // What is written is read, as far as the compiler knows.
  __asm__ volatile("" : : "r"(output) : "memory");
}

static double nanoseconds(int kind) {
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (int i = 0; i < CALLS; i++) {
    if (kind == 0) call(B);
    if (kind == 1) call(0);
    if (kind == 2) loop();
  }
  clock_gettime(CLOCK_MONOTONIC, &to);
  return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / CALLS;
}

static int compare(const void *a, const void *b) {
  double difference = *(const double *)a - *(const double *)b;
  return (difference > 0) - (difference < 0);
}

int main(int count, char **arguments) {
  int turns = count > 1 ? atoi(arguments[1]) : 2001;
  if (turns < 1) turns = 1;
  tokens = malloc((size_t)V * D * sizeof(float));
  positions = malloc((size_t)T * D * sizeof(float));
  output = malloc((size_t)N * D * sizeof(float));
  double *times[KINDS];
  for (int k = 0; k < KINDS; k++) times[k] = malloc((size_t)turns * sizeof(double));
  if (!tokens || !positions || !output || !times[0] || !times[1] || !times[2]) return 1;
  for (size_t i = 0; i < (size_t)V * D; i++) tokens[i] = (float)(i % 1001) / 1000.0f;
  for (size_t i = 0; i < T * D; i++) positions[i] = (float)(i % 17);
  for (int n = 0; n < N; n++) ids[n] = (int64_t)n * 7919 % V;
  for (int turn = -1; turn < turns; turn++)
    for (int k = 0; k < KINDS; k++) {
      double time = nanoseconds(k);
      if (turn >= 0) times[k][turn] = time;
    }
  static const char *const names[KINDS] = {"ek_embed", "ek_embed of no rows", "plain loop"};
  for (int k = 0; k < KINDS; k++) {
    qsort(times[k], (size_t)turns, sizeof(double), compare);
    printf("%-20s %8.1f ns (10th percentile %.1f)\n", names[k], times[k][turns / 2],
           times[k][turns / 10]);
    free(times[k]);
  }
  free(tokens);
  free(positions);
  free(output);
  return 0;
}
