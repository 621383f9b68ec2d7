// Stochastic gradient descent.

internal import CKernels

extension UpdateRule {
  /// Stochastic gradient descent, as PyTorch's `SGD`; keeps no state.
  ///
  ///     d = gradient + weightDecay * parameter
  ///     parameter -= rate * d
  ///
  /// - Throws: `invalidValue`, `invalidSize` or `unsupported` for numbers outside their ranges.
  public static func sgd(
    learningRate: LearningRate, weightDecay: Double = 0, untouched: UntouchedRows = .left
  ) throws(EmbedError) -> UpdateRule {
    try checkDecay(weightDecay)
    return try UpdateRule(
      name: "sgd", learningRate: learningRate, untouched: untouched, state: StateLayout(),
      kernel: EK_STEP_SGD
    ) { _, rate in
      ek_step_scalars(rate, coupledDecay: weightDecay)
    }
  }
}
