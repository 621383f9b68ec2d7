// A C program on the installed library: forward, backward and steps against plain loops; facts of
// errors; the pool; and what a child does after fork.
#include <embedkernel.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int faults;
#define CHECK(condition)                                               \
  do {                                                                 \
    if (!(condition)) {                                                \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);  \
      fprintf(stderr, "  last error: %s\n", ek_last_error()->message); \
      faults++;                                                        \
    }                                                                  \
  } while (0)

enum { V = 1000, B = 4, T = 256, D = 96, N = B * T };

static float *numbers(size_t count) {
  float *values = malloc(count * sizeof *values);
  for (size_t i = 0; i < count; i++) values[i] = (float)((i * 7919 + 13) % 2003) / 1001.0f - 1.0f;
  return values;
}

static int64_t ids[N];

static void embeds(const float *tokens, const float *positions) {
  void *memory = NULL;
  CHECK(ek_buffer_take((size_t)N * D * sizeof(float), &memory) == EK_OK);
  float *output = memory;
  ek_embed_options options = EK_EMBED_OPTIONS_INIT;
  options.threads = 2;
  CHECK(ek_embed(ids, EK_DTYPE_INT64, B, T, tokens, EK_DTYPE_FLOAT32, V, D, positions, T, output,
                 EK_DTYPE_FLOAT32, &options) == EK_OK);
  for (int n = 0; n < N; n++)
    for (int i = 0; i < D; i++)
      if (output[n * D + i] != tokens[ids[n] * D + i] + positions[n % T * D + i]) {
        CHECK(!"a sum is wrong");
        return;
      }
  CHECK(ek_buffer_give_back(output) == EK_OK);
}

static void tells(const float *tokens) {
  static int64_t wrong[N];
  static float output[N * D];
  memcpy(wrong, ids, sizeof wrong);
  wrong[3 * T + 5] = -2;
  CHECK(ek_embed(wrong, EK_DTYPE_INT64, B, T, tokens, EK_DTYPE_FLOAT32, V, D, NULL, 0, output,
                 EK_DTYPE_FLOAT32, NULL) == EK_ERROR_TOKEN_OUT_OF_RANGE);
  const ek_error *error = ek_last_error();
  CHECK(error->row == 3 && error->position == 5 && error->value == -2 && error->bound == V);
  CHECK(strcmp(error->kind, "tokenOutOfRange") == 0);
  CHECK(strcmp(ek_error_name(error->code), "EK_ERROR_TOKEN_OUT_OF_RANGE") == 0);
}

static void steps(float *tokens) {
  float *gradient = numbers((size_t)N * D), *values = malloc((size_t)N * D * sizeof *values);
  int64_t *rows = malloc(N * sizeof *rows), count = 0;
  CHECK(ek_backward_sparse(gradient, ids, EK_DTYPE_INT64, B, T, V, D, rows, EK_DTYPE_INT64, values,
                           N, &count, NULL, 0, NULL) == EK_OK);
  for (int64_t k = 1; k < count; k++) CHECK(rows[k - 1] < rows[k]);

  ek_table *table = NULL;
  ek_optimizer *optimizer = NULL;
  ek_optimizer_options options = EK_OPTIMIZER_OPTIONS_INIT;
  options.name = "sgd";
  CHECK(ek_table_borrow(tokens, V, D, EK_DTYPE_FLOAT32, NULL, NULL, &table) == EK_OK);
  CHECK(ek_optimizer_create(table, &options, &optimizer) == EK_OK);
  float before = tokens[rows[1] * D + 3];
  ek_step_options step = EK_STEP_OPTIONS_INIT;
  step.learning_rate = 0.5;
  CHECK(ek_optimizer_step_rows(optimizer, rows, EK_DTYPE_INT64, count, values, &step) == EK_OK);
  CHECK(fabsf(tokens[rows[1] * D + 3] - (before - 0.5f * values[D + 3])) < 1e-6f);
  ek_optimizer_destroy(optimizer);
  ek_table_destroy(table);
  CHECK(ek_optimizer_step_dense(optimizer, gradient, NULL) == EK_ERROR_INVALID_HANDLE);
  free(gradient);
  free(values);
  free(rows);
}

static int released;
static void release(void *context) { released += context == &released; }

/// Bags of a table and of its rows in int8, which are wrapped where they lie.
static void pools(const float *tokens) {
  static float output[B * D], again[B * D], decoded[V * D];
  int64_t offsets[B + 1] = {0, 3, 3, T, N};
  ek_bag_layout bags = EK_BAG_LAYOUT_INIT;
  bags.kind = EK_BAGS_OFFSETS_WITH_LAST;
  bags.numbers = offsets;
  bags.count = B + 1;
  ek_bag_options options = EK_BAG_OPTIONS_INIT;
  options.pool = EK_BAG_MEAN;
  CHECK(ek_bag(ids, EK_DTYPE_INT64, N, &bags, tokens, EK_DTYPE_FLOAT32, V, D, output,
               EK_DTYPE_FLOAT32, NULL, &options) == EK_OK);
  for (int i = 0; i < D; i++) {
    float sum = 0;
    for (int n = 0; n < 3; n++) sum += tokens[ids[n] * D + i];
    CHECK(fabsf(output[i] - sum / 3) < 1e-6f && output[D + i] == 0);
  }
  offsets[2] = 2;
  CHECK(ek_bag(ids, EK_DTYPE_INT64, N, &bags, tokens, EK_DTYPE_FLOAT32, V, D, output,
               EK_DTYPE_FLOAT32, NULL, &options) == EK_ERROR_INVALID_SIZE);
  offsets[2] = 3;

  int32_t format = -1;
  ek_row_table *made = NULL, *wrapped = NULL;
  CHECK(ek_rows_format_named("int8", &format) == EK_OK && format == EK_FORMAT_INT8);
  CHECK(ek_rows_format_named("int7", &format) == EK_ERROR_UNSUPPORTED);
  CHECK(ek_rows_quantize(tokens, V, D, format, 0, &made) == EK_OK);
  ek_rows_source source = EK_ROWS_SOURCE_INIT;
  CHECK(ek_rows_get(made, &source) == EK_OK);
  CHECK(source.byte_count == (int64_t)V * D && source.scale_count == 4 * V);
  source.byte_count--;
  CHECK(ek_rows_wrap(&source, release, &released, &wrapped) == EK_ERROR_WRONG_ELEMENT_COUNT);
  source.byte_count++;
  CHECK(released == 0);
  CHECK(ek_rows_wrap(&source, release, &released, &wrapped) == EK_OK);
  CHECK(ek_rows_decode(wrapped, 0, V, decoded, 0) == EK_OK);
  CHECK(ek_rows_decode(wrapped, V, 1, decoded, 0) == EK_ERROR_INDEX_OUT_OF_RANGE);
  CHECK(ek_rows_bag(ids, EK_DTYPE_INT64, N, &bags, wrapped, output, EK_DTYPE_FLOAT32, NULL,
                    &options) == EK_OK);
  CHECK(ek_bag(ids, EK_DTYPE_INT64, N, &bags, decoded, EK_DTYPE_FLOAT32, V, D, again,
               EK_DTYPE_FLOAT32, NULL, &options) == EK_OK);
  CHECK(memcmp(output, again, sizeof output) == 0);
  CHECK(ek_rows_embed(ids, EK_DTYPE_INT64, 1, B, wrapped, NULL, 0, 0, output, EK_DTYPE_FLOAT32,
                      NULL) == EK_OK);
  for (int n = 0; n < B; n++)
    CHECK(memcmp(output + n * D, decoded + ids[n] * D, D * sizeof(float)) == 0);
  ek_rows_destroy(wrapped);
  CHECK(released == 1);
  ek_rows_destroy(made);
}

/// A head's product needs OpenBLAS: without it there is an error that says so.
static void multiplies(void) {
  float hidden[2 * 3] = {1, 2, 3, 4, 5, 6}, table[2 * 3] = {1, 0, 0, 0, 1, 1}, logits[4];
  int32_t code = ek_tied_logits(hidden, 2, table, 2, 3, 1.0f, logits);
  if (code == EK_OK)
    CHECK(logits[0] == 1 && logits[1] == 5 && logits[2] == 4 && logits[3] == 11);
  else
    CHECK(code == EK_ERROR_UNAVAILABLE_LIBRARY && strlen(ek_last_error()->message) > 0);
}

static void *other_thread(void *tokens) {
  CHECK(ek_last_error()->code == EK_OK);
  tells(tokens);
  return NULL;
}

int main(void) {
  CHECK(ek_abi_version() == EK_ABI_VERSION);
  float *tokens = numbers((size_t)V * D), *positions = numbers((size_t)T * D);
  for (int n = 0; n < N; n++) ids[n] = (n * 37) % V;

  embeds(tokens, positions);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, other_thread, tokens) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(ek_last_error()->code == EK_OK);
  tells(tokens);
  steps(tokens);
  pools(tokens);
  multiplies();

  // The helper threads have run in this process; a child has none of them, and nor has its child.
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    alarm(30);
    embeds(tokens, positions);
    pid_t grandchild = fork();
    if (grandchild == 0) {
      alarm(30);
      embeds(tokens, positions);
      steps(tokens);
      _exit(faults);
    }
    int status = 1;
    CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
    steps(tokens);
    _exit(faults);
  }
  int status = 1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  embeds(tokens, positions);

  free(tokens);
  free(positions);
  if (faults == 0) printf("EmbedKernel %s: well\n", ek_version());
  return faults != 0;
}
