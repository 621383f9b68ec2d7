// Sums a row twice: what callgrind's files beside this were recorded of.
float sum(const float *row, int n) {
  float total = 0;
  for (int i = 0; i < n; i++) {
    float value = row[i];
    total += value;
  }
  return total;
}

float kernel(const float *row, int n) { return sum(row, n) + sum(row, n / 2); }
