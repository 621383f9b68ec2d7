// The list of optimisers, by name, for whoever chooses one from a command line or a configuration.

/// The numbers of an optimiser; nil for its usual one.
public struct UpdateNumbers: Hashable, Sendable {
  /// How much of each parameter a step takes away, beside the gradient's.
  public var weightDecay: Double?
  /// How much of the first moment, or of momentum, a step keeps.
  public var beta1: Double?
  /// How much of the second moment a step keeps.
  public var beta2: Double?
  /// What is added to square roots.
  public var epsilon: Double?
  /// What Adagrad's sums of squares start from.
  public var initialSum: Double?
  /// How fast Adagrad's rate falls with the step's number.
  public var rateDecay: Double?

  /// The numbers given.
  public init(
    weightDecay: Double? = nil, beta1: Double? = nil, beta2: Double? = nil,
    epsilon: Double? = nil, initialSum: Double? = nil, rateDecay: Double? = nil
  ) {
    self.weightDecay = weightDecay
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.initialSum = initialSum
    self.rateDecay = rateDecay
  }

  /// Those that are given, by the names that messages call them.
  package var given: [(name: String, value: Double)] {
    [
      ("weight decay", weightDecay), ("beta1", beta1), ("beta2", beta2), ("epsilon", epsilon),
      ("initial sum", initialSum), ("rate decay", rateDecay),
    ].compactMap { name, value in value.map { (name, $0) } }
  }

  /// These numbers, and where one is nil that of `other`.
  func completed(by other: UpdateNumbers) -> UpdateNumbers {
    UpdateNumbers(
      weightDecay: weightDecay ?? other.weightDecay, beta1: beta1 ?? other.beta1,
      beta2: beta2 ?? other.beta2, epsilon: epsilon ?? other.epsilon,
      initialSum: initialSum ?? other.initialSum, rateDecay: rateDecay ?? other.rateDecay)
  }
}

extension UpdateRule {
  /// What is known of an optimiser by its name: its usual numbers, which are all it has, its usual way
  /// with rows without gradient, and how it is made.
  private struct Entry: Sendable {
    let name: String
    let usual: UpdateNumbers
    let untouched: UntouchedRows
    let make: @Sendable (LearningRate, Numbers, UntouchedRows) throws(EmbedError) -> UpdateRule
  }

  /// Numbers without gaps; 0 for those that an optimiser lacks.
  private struct Numbers {
    let weightDecay, beta1, beta2, epsilon, initialSum, rateDecay: Double

    init(_ n: UpdateNumbers) {
      (weightDecay, beta1, beta2) = (n.weightDecay ?? 0, n.beta1 ?? 0, n.beta2 ?? 0)
      (epsilon, initialSum, rateDecay) = (n.epsilon ?? 0, n.initialSum ?? 0, n.rateDecay ?? 0)
    }
  }

  private static let adamNumbers = UpdateNumbers(
    weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8)

  private static let list: [Entry] = [
    Entry(name: "sgd", usual: UpdateNumbers(weightDecay: 0), untouched: .left) {
      (rate, n, untouched) throws(EmbedError) in
      try .sgd(learningRate: rate, weightDecay: n.weightDecay, untouched: untouched)
    },
    Entry(
      name: "momentum", usual: UpdateNumbers(weightDecay: 0, beta1: 0.9), untouched: .stepped
    ) { (rate, n, untouched) throws(EmbedError) in
      try .momentum(
        learningRate: rate, beta: n.beta1, weightDecay: n.weightDecay, untouched: untouched)
    },
    Entry(
      name: "nesterov", usual: UpdateNumbers(weightDecay: 0, beta1: 0.9), untouched: .stepped
    ) { (rate, n, untouched) throws(EmbedError) in
      try .momentum(
        learningRate: rate, beta: n.beta1, direction: .nesterov, weightDecay: n.weightDecay,
        untouched: untouched)
    },
    Entry(
      name: "adagrad",
      usual: UpdateNumbers(weightDecay: 0, epsilon: 1e-10, initialSum: 0, rateDecay: 0),
      untouched: .left
    ) { (rate, n, untouched) throws(EmbedError) in
      try .adagrad(
        learningRate: rate, rateDecay: n.rateDecay, initialSum: n.initialSum, epsilon: n.epsilon,
        weightDecay: n.weightDecay, untouched: untouched)
    },
    Entry(
      name: "row-wise-adagrad",
      usual: UpdateNumbers(weightDecay: 0, epsilon: 1e-10, initialSum: 0), untouched: .left
    ) { (rate, n, untouched) throws(EmbedError) in
      try .rowWiseAdagrad(
        learningRate: rate, initialSum: n.initialSum, epsilon: n.epsilon,
        weightDecay: n.weightDecay, untouched: untouched)
    },
    Entry(name: "adam", usual: adamNumbers, untouched: .stepped) {
      (rate, n, untouched) throws(EmbedError) in
      try .adam(
        learningRate: rate, beta1: n.beta1, beta2: n.beta2, epsilon: n.epsilon,
        weightDecay: n.weightDecay, untouched: untouched)
    },
    Entry(name: "sparse-adam", usual: adamNumbers, untouched: .left) {
      (rate, n, untouched) throws(EmbedError) in
      try .adam(
        learningRate: rate, beta1: n.beta1, beta2: n.beta2, epsilon: n.epsilon,
        epsilonForm: .uncorrected, weightDecay: n.weightDecay, untouched: untouched)
    },
    Entry(
      name: "adamw", usual: UpdateNumbers(weightDecay: 0.01).completed(by: adamNumbers),
      untouched: .stepped
    ) { (rate, n, untouched) throws(EmbedError) in
      try .adamW(
        learningRate: rate, beta1: n.beta1, beta2: n.beta2, epsilon: n.epsilon,
        weightDecay: n.weightDecay, untouched: untouched)
    },
    Entry(
      name: "lamb",
      usual: UpdateNumbers(weightDecay: 0.01, epsilon: 1e-6).completed(by: adamNumbers),
      untouched: .stepped
    ) { (rate, n, untouched) throws(EmbedError) in
      try .lamb(
        learningRate: rate, beta1: n.beta1, beta2: n.beta2, epsilon: n.epsilon,
        weightDecay: n.weightDecay, untouched: untouched)
    },
  ]

  /// The optimisers there are.
  public static var names: [String] { list.map(\.name) }

  /// The optimiser called `name`.
  ///
  /// - Parameters:
  ///   - numbers: Those that differ from its factory's defaults.
  ///   - untouched: What happens to rows without gradient; nil for the optimiser's usual way.
  /// - Throws: `unsupported` for a name outside `names` or a number that the optimiser lacks, and what
  ///   the optimiser's factory throws.
  public static func named(
    _ name: String, learningRate: LearningRate, numbers: UpdateNumbers = UpdateNumbers(),
    untouched: UntouchedRows? = nil
  ) throws(EmbedError) -> UpdateRule {
    let entry = try entry(name)
    let complete = try Self.numbers(of: name, with: numbers)
    return try entry.make(learningRate, Numbers(complete), untouched ?? entry.untouched)
  }

  /// All numbers of the optimiser called `name`: those given, and else its usual ones; nil for those
  /// that it lacks.
  ///
  /// - Throws: `unsupported` for a name outside `names` or a number that the optimiser lacks.
  public static func numbers(
    of name: String, with numbers: UpdateNumbers = UpdateNumbers()
  ) throws(EmbedError) -> UpdateNumbers {
    let usual = try entry(name).usual
    let known = usual.given.map(\.name)
    for number in numbers.given where !known.contains(number.name) {
      throw .unsupported(
        argument: "\(number.name) of \(name)", value: "\(number.value)",
        expected: "none; \(name) has \(known.sorted().joined(separator: ", "))")
    }
    return numbers.completed(by: usual)
  }

  private static func entry(_ name: String) throws(EmbedError) -> Entry {
    guard let entry = list.first(where: { $0.name == name }) else {
      throw .unsupported(
        argument: "optimizer", value: name, expected: names.joined(separator: ", "))
    }
    return entry
  }
}
