// Stochastic gradient descent with momentum.

internal import CKernels

extension UpdateRule {
  /// Which direction momentum takes.
  public enum Momentum: String, CaseIterable, Sendable {
    /// The decaying sum of gradients (Polyak).
    case heavyBall = "heavy-ball"
    /// The sum as the next step would see it (Nesterov).
    case nesterov
  }

  /// Stochastic gradient descent with momentum, as PyTorch's `SGD` without dampening; keeps a number
  /// for each element, `momentum`.
  ///
  ///     d = gradient + weightDecay * parameter
  ///     momentum = beta * momentum + d
  ///     parameter -= rate * momentum                  // heavy ball
  ///     parameter -= rate * (d + beta * momentum)     // Nesterov
  ///
  /// - Parameter beta: How much of the momentum a step keeps.
  /// - Throws: `invalidValue`, `invalidSize` or `unsupported` for numbers outside their ranges.
  public static func momentum(
    learningRate: LearningRate, beta: Double = 0.9, direction: Momentum = .heavyBall,
    weightDecay: Double = 0, untouched: UntouchedRows = .stepped
  ) throws(EmbedError) -> UpdateRule {
    try checkDecay(weightDecay)
    try checkBeta("momentum", beta)
    return try UpdateRule(
      name: direction == .nesterov ? "nesterov" : "momentum", learningRate: learningRate,
      untouched: untouched,
      state: StateLayout(first: "momentum"), kernel: EK_STEP_MOMENTUM
    ) { _, rate in
      var scalars = ek_step_scalars(rate, coupledDecay: weightDecay)
      scalars.first_rate = Float(beta)
      scalars.nesterov = direction == .nesterov
      return scalars
    }
  }
}
