// Holds all instruction sets that this machine has against the plain one, bit for bit, on random
// rows of awkward lengths, and prints a digest of all results, for machines to be held against each
// other. Products and a transformer's rows are not compared: sets may differ there. Built and run
// by scripts/check-neon.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

enum { V = 9, B = 3, T = 5, N = B * T, MOST = 1100 };

static float tokens[V * MOST], positions[T * MOST], segments[2 * MOST], gradient[N * MOST];
static float gamma_row[MOST], beta_row[MOST], sums[4 * MOST];
static int32_t ids[N], segment_ids[N];
static float out[2][N * MOST + 16];
static uint16_t narrow_tokens[V * MOST], narrow_positions[T * MOST];
// Rows of any format: of bytes below 64 no format makes an infinity or a NaN.
static uint8_t row_bytes[V * 4 * MOST], row_scales[V * 4 * MOST];
static int failures;
static uint64_t digest = 0xCBF29CE484222325, state = 1;

static int draw(void) {
  state = state * 6364136223846793005 + 1442695040888963407;
  return (int)(state >> 33);
}

static void fill(float *at, size_t count) {
  for (size_t i = 0; i < count; i++) at[i] = (float)(draw() % 4096) / 2048 - 1;
}

static void compare(const char *kernel, size_t dim, size_t count) {
  const unsigned char *bytes = (const unsigned char *)out[0];
  for (size_t i = 0; i < count * sizeof(float); i++) digest = (digest ^ bytes[i]) * 0x100000001B3;
  if (memcmp(out[0], out[1], count * sizeof(float)) == 0) return;
  failures++;
  fprintf(stderr, "%s differs at dim %zu\n", kernel, dim);
}

static ek_embed_tile nest(size_t dim, float *to) {
  return (ek_embed_tile){.tokens = tokens,
                         .positions = positions,
                         .ids = ids,
                         .output = to,
                         .outer = {T, 1, 1},
                         .inner = {B, T, 0},
                         .dim = dim,
                         .prefetch_rows = 2,
                         .scale = 1.5f,
                         .id_bytes = 4};
}

/// Compares `set` with the plain one.
static void check(const ek_kernels *set) {
  const ek_kernels *sets[] = {ek_kernels_for(EK_PLAIN), set};
  memset(out, 0, sizeof out);
  const size_t dims[] = {1, 3, 4, 7, 16, 33, 64, 70, 128, 385, 769, 1024, MOST};
  fill(tokens, V * MOST), fill(positions, T * MOST), fill(segments, 2 * MOST);
  fill(gradient, N * MOST), fill(gamma_row, MOST), fill(beta_row, MOST);
  for (size_t i = 0; i < sizeof row_bytes; i++)
    row_bytes[i] = draw() & 63, row_scales[i] = draw() & 63;
  for (int n = 0; n < N; n++) ids[n] = draw() % V, segment_ids[n] = draw() % 2;
  for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
    const size_t dim = dims[d];
    for (int s = 0; s < 2; s++) {
      ek_element_tile tile = {.rows = nest(dim, out[s] + 1)};
      sets[s]->embed(&tile);
    }
    compare("embed", dim, N * dim + 1);
    for (int pair = 0; pair < 9; pair++) {
      const ek_element input = (ek_element)(pair / 3), output = (ek_element)(pair % 3);
      const void *from = tokens, *places = positions;
      if (input != EK_F32) {
        sets[0]->convert(tokens, EK_F32, narrow_tokens, input, V * dim);
        sets[0]->convert(positions, EK_F32, narrow_positions, input, T * dim);
        from = narrow_tokens, places = narrow_positions;
      }
      for (int s = 0; s < 2; s++) {
        memset(out[s], 0, N * dim * sizeof(float));
        ek_element_tile tile = {.rows = nest(dim, out[s]), .input = input, .output = output};
        tile.rows.tokens = from, tile.rows.positions = places;
        sets[s]->embed(&tile);
      }
      compare("embed of elements", dim, N * dim);
      for (int s = 0; s < 2 && input != output; s++)
        sets[s]->convert(from, input, out[s], output, V * dim);
      compare("convert", dim, N * dim);
    }
    for (int format = 0; format < EK_ROW_FORMATS; format++) {
      // Widths that all formats have: whole blocks.
      const size_t width = format < EK_ROWS_Q8_0 ? dim : (dim + 255) / 256 * 256;
      if (width > MOST) continue;
      for (int output = 0; output < 3; output++) {
        for (int s = 0; s < 2; s++) {
          memset(out[s], 0, N * width * sizeof(float));
          ek_row_tile tile = {.rows = nest(width, out[s]), .output = (ek_element)output};
          tile.table = (ek_rows){row_bytes, 4 * width, row_scales,           4 * width,
                                 0,         width,     (ek_row_format)format};
          sets[s]->embed_rows(&tile);
        }
        compare("embed_rows", width, N * width);
      }
    }
    for (int variant = 0; variant < 6; variant++) {
      ek_normalize_tile tile[2];
      for (int s = 0; s < 2; s++) {
        tile[s] = (ek_normalize_tile){
            .rows = nest(dim, out[s]),
            .segments = segments,
            .segment_ids = segment_ids,
            .gamma = gamma_row,
            .beta = beta_row,
            .epsilon = 1e-5f,
            .kind = variant % 3,
            .dropout = {.key = 5, .threshold = variant < 3 ? 0 : 1u << 30, .scale = 4 / 3.0f}};
        sets[s]->normalize(&tile[s]);
      }
      compare("normalize", dim, N * dim);
      for (int s = 0; s < 2; s++) {
        memset(sums, 0, sizeof sums);
        ek_normalize_gradient_tile backward = {.forward = tile[s],
                                               .gradient = gradient,
                                               .gamma = sums,
                                               .beta = sums + dim,
                                               .segments = sums + 2 * dim};
        sets[s]->normalize_gradient(&backward);
        memcpy(out[s] + (N - 4) * dim, sums, 4 * dim * sizeof(float));
      }
      compare("normalize_gradient", dim, N * dim);
    }
    const int32_t rows[] = {4, 0, 14, 2, 7, 7, 9, 1, 3}, destinations[N] = {0, -1, 2, -1};
    for (int variant = 0; variant < 4; variant++) {
      for (int s = 0; s < 2; s++) {
        memcpy(out[s], gradient, 4 * dim * sizeof(float));
        ek_row_sum sum = {.rows = gradient,
                          .indices = rows,
                          .output = out[s],
                          .count = 9,
                          .stride = dim,
                          .width = dim,
                          .leaf = variant == 1 ? 2 : 9,
                          .factor = 0.7f,
                          .pass_factor = 0.3f,
                          .compensated = variant == 2,
                          .accumulate = variant > 0,
                          .destinations = variant == 3 ? destinations : NULL,
                          .passed = out[s] + dim};
        sets[s]->sum_rows(&sum);
      }
      compare("sum_rows", dim, 4 * dim);
    }
    for (int variant = 0; variant < 12; variant++) {
      const size_t pairs = dim / 2;
      const ek_element type = (ek_element)(variant / 4);
      if (pairs == 0) continue;
      for (int s = 0; s < 2; s++) {
        ek_rotary_tile tile = {.input = gradient,
                               .output = out[s],
                               .type = type,
                               .rows = tokens,
                               .sines = pairs,
                               .outer = {1, 0, 0},
                               .inner = {T, dim, 2 * pairs},
                               .pairs = pairs,
                               .partner = pairs,
                               .rest_at = 2 * pairs,
                               .rest = dim - 2 * pairs,
                               .neighbours = variant % 2,
                               .inverse = variant % 4 > 1};
        // Any bits are 16-bit elements, but for NaNs, whose bits are free: exponents are made
        // smaller.
        static uint16_t elements[N * MOST];
        for (size_t i = 0; i < T * dim; i++) elements[i] = (uint16_t)(i * 40503) & 0xBBFF;
        if (type != EK_F32) tile.input = elements;
        if (2 * pairs * T <= V * MOST) sets[s]->rotate(&tile);
      }
      compare("rotate", dim, T * dim);
    }
    for (int visible = 1; visible < 3; visible++) {
      for (int s = 0; s < 2; s++) {
        memcpy(out[s], gradient, N * dim * sizeof(float));
        ek_distance_tile tile = {.logits = out[s],
                                 .table = positions + T,
                                 .rows = T,
                                 .columns = dim,
                                 .stride = dim,
                                 .visible = visible == 1 ? 2 : dim};
        sets[s]->add_by_distance(&tile);
        memset(out[s] + T * dim, 0, (dim + T) * sizeof(float));
        tile.logits = gradient, tile.table = out[s] + T * dim + T;
        sets[s]->sum_by_distance(&tile);
      }
      compare("by_distance", dim, T * dim + dim + T);
    }
  }
}

int main(void) {
  for (int set = EK_NEON; set <= EK_AVX512_BF16; set++) {
    const ek_kernels *kernels = ek_kernels_for((ek_instruction_set)set);
    if (!kernels) continue;
    state = 1;
    digest = 0xCBF29CE484222325;
    check(kernels);
  }
  printf("%016llx\n", (unsigned long long)digest);
  return failures != 0;
}
