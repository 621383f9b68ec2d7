// Sums a row twice: what callgrind's files beside this were recorded of.
#define STEP 1

float sum(const float *row, int n) {
  float total = 0;
  for (int i = 0; i < n; i++) {
    float value = row[i] * (i % 3);
    total += value;
  }
  return total;
}

float scale(float value) { return value * 2; }

float kernel(const float *row, int n) { return scale(sum(row, n)) + sum(row, n / 2); }
