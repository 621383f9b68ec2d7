// Stochastic gradient descent.

internal import CMicrokernels

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
      arithmetic: SGDArithmetic.self
    ) { _, rate in
      ek_step_scalars(rate, coupledDecay: weightDecay)
    }
  }
}

enum SGDArithmetic: StepArithmetic {
  static let kernel: ek_step? = EK_STEP_SGD

  @inline(__always)
  static func update(_ x: inout StepLanes, _ tile: StepView, _ factor: Float) {
    let s = tile.scalars
    let d = s.gradient_scale * x.gradient + s.coupled_decay * x.parameter
    x.parameter -= s.rate * d
  }
}
