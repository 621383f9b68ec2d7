// AdamW (Loshchilov and Hutter, 2019): Adam with weight decay apart from the gradient; dense, lazy
// (touched rows only) and exact-lazy (the same as dense, with the traffic of lazy).

internal import CKernels

extension UpdateRule {
  /// AdamW, as PyTorch's; keeps two numbers for each element, `exp_avg` and `exp_avg_sq`.
  ///
  ///     m += (1 - beta1) * (gradient - m)
  ///     v += (1 - beta2) * (gradient * gradient - v)
  ///     parameter -= rate * weightDecay * parameter
  ///         + rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
  ///
  /// With `untouched: .caughtUp` it also keeps what rounding takes from a parameter, `residual`, a
  /// byte for each element, and for each row the steps that it and its moments have taken. Rows then
  /// follow AdamW in double precision, to about 1e-7 of their norm, over any number of steps.
  ///
  /// - Parameter untouched: What happens to rows without gradient. `.caughtUp` needs
  ///   `beta1^2 < beta2` and a `rate * weightDecay` below 1.
  /// - Throws: `invalidValue`, `invalidSize` or `unsupported` for numbers outside their ranges.
  public static func adamW(
    learningRate: LearningRate, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Double = 1e-8, weightDecay: Double = 0.01, untouched: UntouchedRows = .stepped
  ) throws(EmbedError) -> UpdateRule {
    var moments = try MomentDecay(beta1: beta1, beta2: beta2, epsilon: epsilon)
    try checkDecay(weightDecay)
    moments.weightDecay = weightDecay
    if untouched == .caughtUp {
      try learningRate.check()
      try moments.checkCatchUp(greatestRate: learningRate.greatest)
    }
    let numbers = moments
    return try UpdateRule(
      name: "adamw", learningRate: learningRate, untouched: untouched, state: .moments,
      kernel: EK_STEP_ADAM, moments: numbers
    ) { step, rate in
      var scalars = ek_step_scalars(numbers, step, rate)
      scalars.decay = Float(rate * weightDecay)
      return scalars
    }
  }
}

extension MomentDecay {
  /// Whether missed steps can be summed: their terms must fall, and decay must leave something.
  fileprivate func checkCatchUp(greatestRate: Double) throws(EmbedError) {
    guard ratio < 1, MissedSteps.terms(ratio) <= MissedSteps.mostTerms else {
      throw .invalidValue(
        argument: "beta1", value: beta1,
        expected: "well below sqrt(beta2) = \(beta2.squareRoot()), where rows are caught up")
    }
    guard greatestRate * weightDecay < 1 else {
      throw .invalidValue(
        argument: "weight decay", value: weightDecay,
        expected: "less than 1 / learning rate = \(1 / greatestRate)")
    }
  }

  /// How first / sqrt(second) decays in a step without gradient.
  var ratio: Double { beta1 == 0 ? 0 : beta1 / beta2.squareRoot() }
}
