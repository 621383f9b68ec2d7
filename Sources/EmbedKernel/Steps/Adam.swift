// Adam (Kingma and Ba, 2015), and what it shares with AdamW.

internal import CKernels

internal import CSystem

extension UpdateRule {
  /// Where Adam's epsilon is added.
  public enum AdamEpsilon: String, CaseIterable, Sendable {
    /// To the root of the corrected second moment, as in the paper's algorithm and PyTorch's `Adam`.
    case corrected
    /// To the root of the second moment before its correction, as PyTorch's `SparseAdam` does.
    case uncorrected
  }

  /// Adam, as PyTorch's `Adam`, and with `untouched: .left, epsilonForm: .uncorrected` as its
  /// `SparseAdam`; keeps two numbers for each element, `exp_avg` and `exp_avg_sq`.
  ///
  ///     d = gradient + weightDecay * parameter
  ///     m += (1 - beta1) * (d - m)
  ///     v += (1 - beta2) * (d * d - v)
  ///     parameter -= rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
  ///
  /// - Throws: `invalidValue`, `invalidSize` or `unsupported` for numbers outside their ranges.
  public static func adam(
    learningRate: LearningRate, beta1: Double = 0.9, beta2: Double = 0.999,
    epsilon: Double = 1e-8, epsilonForm: AdamEpsilon = .corrected, weightDecay: Double = 0,
    untouched: UntouchedRows = .stepped
  ) throws(EmbedError) -> UpdateRule {
    let moments = try MomentDecay(beta1: beta1, beta2: beta2, epsilon: epsilon)
    try checkDecay(weightDecay)
    return try UpdateRule(
      name: epsilonForm == .uncorrected ? "sparse-adam" : "adam", learningRate: learningRate,
      untouched: untouched, state: .moments,
      kernel: EK_STEP_ADAM
    ) { step, rate in
      var scalars = ek_step_scalars(moments, step, rate)
      scalars.coupled_decay = Float(weightDecay)
      if epsilonForm == .uncorrected { scalars.epsilon = Float(epsilon) }
      return scalars
    }
  }
}

extension StateLayout {
  /// The two moments of Adam and its kin, by PyTorch's names.
  static let moments = StateLayout(first: "exp_avg", second: "exp_avg_sq")
}

/// How Adam's moments decay.
struct MomentDecay: Sendable {
  let beta1: Double
  let beta2: Double
  let epsilon: Double
  var weightDecay = 0.0

  init(beta1: Double, beta2: Double, epsilon: Double) throws(EmbedError) {
    try checkBeta("beta1", beta1)
    try checkBeta("beta2", beta2)
    try checkEpsilon(epsilon)
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
  }

  /// What is missing in the first moment after `step` steps: 1 - beta1^step.
  func firstCorrection(_ step: Int) -> Double { lacking(beta1, step) }

  /// The root of what is missing in the second: sqrt(1 - beta2^step).
  func secondCorrection(_ step: Int) -> Double { lacking(beta2, step).squareRoot() }

  /// sqrt(1 - beta2^t) / (1 - beta1^t), which brings first / sqrt(second) to its size.
  func ratioCorrection(_ step: Int) -> Double { secondCorrection(step) / firstCorrection(step) }

  private func lacking(_ beta: Double, _ step: Int) -> Double {
    beta == 0 ? 1 : -expm1(Double(step) * log(beta))
  }
}

extension ek_step_scalars {
  /// A step of `rate`, the gradient as it is.
  init(_ rate: Double, coupledDecay: Double = 0) {
    self.init()
    gradient_scale = 1
    self.rate = Float(rate)
    coupled_decay = Float(coupledDecay)
  }

  /// Adam's step: both corrections are in the rate and in epsilon, so that the arithmetic is
  /// `rate * m / (sqrt(v) + epsilon)`.
  init(_ moments: MomentDecay, _ step: Int, _ rate: Double) {
    self.init(rate * moments.ratioCorrection(step))
    first_rate = Float(1 - moments.beta1)
    second_rate = Float(1 - moments.beta2)
    epsilon = Float(moments.epsilon * moments.secondCorrection(step))
  }
}
