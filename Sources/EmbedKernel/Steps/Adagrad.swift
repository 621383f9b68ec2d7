// Adagrad (Duchi, Hazan and Singer, 2011): steps shrink with the sum of squared gradients.

internal import CKernels

extension UpdateRule {
  /// Adagrad, as PyTorch's; keeps a number for each element, `sum`.
  ///
  ///     d = gradient + weightDecay * parameter
  ///     sum += d * d
  ///     parameter -= rate * d / (sqrt(sum) + epsilon)
  ///
  /// - Parameters:
  ///   - rateDecay: Divides the rate of step t by `1 + (t - 1) * rateDecay`.
  ///   - initialSum: What the sums start from.
  /// - Throws: `invalidValue`, `invalidSize` or `unsupported` for numbers outside their ranges.
  public static func adagrad(
    learningRate: LearningRate, rateDecay: Double = 0, initialSum: Double = 0,
    epsilon: Double = 1e-10, weightDecay: Double = 0, untouched: UntouchedRows = .left
  ) throws(EmbedError) -> UpdateRule {
    try checkDecay(weightDecay)
    try checkEpsilon(epsilon)
    try check("rate decay", rateDecay, in: 0...1e30, "a finite number, 0 or more")
    try check("initial sum", initialSum, in: 0...1e30, "a finite number, 0 or more")
    return try UpdateRule(
      name: "adagrad", learningRate: learningRate, untouched: untouched,
      state: StateLayout(first: "sum", start: Float(initialSum)),
      kernel: EK_STEP_ADAGRAD
    ) { step, rate in
      var scalars = ek_step_scalars(
        rate / (1 + Double(step - 1) * rateDecay), coupledDecay: weightDecay)
      scalars.epsilon = Float(epsilon)
      return scalars
    }
  }
}
