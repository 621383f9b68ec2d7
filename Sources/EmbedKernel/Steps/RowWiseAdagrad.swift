// Row-wise Adagrad: one sum of squares for each row, as recommendation models use it to halve the
// memory and traffic of Adagrad.

internal import CKernels

extension UpdateRule {
  /// Row-wise Adagrad, as FBGEMM's `EXACT_ROWWISE_ADAGRAD`; keeps a number for each row, `sum`.
  ///
  ///     d = gradient + weightDecay * parameter
  ///     sum += mean of d * d over the row
  ///     parameter -= rate / (sqrt(sum) + epsilon) * d
  ///
  /// The squares are summed in 16 lanes, element i in lane i mod 16, then lane by lane as a tree.
  ///
  /// - Parameter initialSum: What the sums start from.
  /// - Throws: `invalidValue`, `invalidSize` or `unsupported` for numbers outside their ranges.
  public static func rowWiseAdagrad(
    learningRate: LearningRate, initialSum: Double = 0, epsilon: Double = 1e-10,
    weightDecay: Double = 0, untouched: UntouchedRows = .left
  ) throws(EmbedError) -> UpdateRule {
    try checkDecay(weightDecay)
    try checkEpsilon(epsilon)
    try check("initial sum", initialSum, in: 0...1e30, "a finite number, 0 or more")
    return try UpdateRule(
      name: "row-wise-adagrad", learningRate: learningRate, untouched: untouched,
      state: StateLayout(row: "sum", start: Float(initialSum)),
      kernel: EK_STEP_ROW_WISE_ADAGRAD
    ) { _, rate in
      var scalars = ek_step_scalars(rate, coupledDecay: weightDecay)
      scalars.epsilon = Float(epsilon)
      return scalars
    }
  }
}
