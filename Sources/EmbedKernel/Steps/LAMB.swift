// LAMB (You et al., 2020) with a trust ratio for each row of the table.

internal import CKernels

extension UpdateRule {
  /// LAMB with a trust ratio for each row, so that a rare token's row takes steps in proportion to
  /// its own norm; keeps two numbers for each element, `exp_avg` and `exp_avg_sq`.
  ///
  ///     m += (1 - beta1) * (gradient - m)
  ///     v += (1 - beta2) * (gradient * gradient - v)
  ///     u = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon) + weightDecay * parameter
  ///     parameter -= rate * |row| / |u's row| * u      // the ratio is 1 where a norm is 0
  ///
  /// Norms are summed in 16 lanes, element i in lane i mod 16, then lane by lane as a tree.
  ///
  /// - Throws: `invalidValue`, `invalidSize` or `unsupported` for numbers outside their ranges.
  public static func lamb(
    learningRate: LearningRate, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Double = 1e-6, weightDecay: Double = 0.01, untouched: UntouchedRows = .stepped
  ) throws(EmbedError) -> UpdateRule {
    let moments = try MomentDecay(beta1: beta1, beta2: beta2, epsilon: epsilon)
    try checkDecay(weightDecay)
    return try UpdateRule(
      name: "lamb", learningRate: learningRate, untouched: untouched, state: .moments,
      kernel: EK_STEP_LAMB
    ) { step, rate in
      var scalars = ek_step_scalars(moments, step, rate)
      scalars.rate = Float(rate)
      scalars.correction = Float(moments.ratioCorrection(step))
      scalars.decay = Float(weightDecay)
      return scalars
    }
  }
}
