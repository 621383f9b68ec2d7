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
  private var given: [(name: String, value: Double)] {
    [
      ("weight decay", weightDecay), ("beta1", beta1), ("beta2", beta2), ("epsilon", epsilon),
      ("initial sum", initialSum), ("rate decay", rateDecay),
    ].compactMap { name, value in value.map { (name, $0) } }
  }

  func check(only names: Set<String>, _ optimizer: String) throws(EmbedError) {
    for number in given where !names.contains(number.name) {
      throw .unsupported(
        argument: "\(number.name) of \(optimizer)", value: "\(number.value)",
        expected: "none; \(optimizer) has \(names.sorted().joined(separator: ", "))")
    }
  }
}

extension UpdateRule {
  /// What is known of an optimiser by its name: the numbers it has, and how it is made of them.
  private struct Entry: Sendable {
    let name: String
    let numbers: Set<String>
    let make:
      @Sendable (LearningRate, UpdateNumbers, UntouchedRows?) throws(EmbedError) -> UpdateRule
  }

  private static let adamNumbers: Set = ["weight decay", "beta1", "beta2", "epsilon"]

  private static let list: [Entry] = [
    Entry(name: "sgd", numbers: ["weight decay"]) { (rate, n, untouched) throws(EmbedError) in
      try .sgd(
        learningRate: rate, weightDecay: n.weightDecay ?? 0, untouched: untouched ?? .left)
    },
    Entry(name: "momentum", numbers: ["weight decay", "beta1"]) {
      (rate, n, untouched) throws(EmbedError) in
      try .momentum(
        learningRate: rate, beta: n.beta1 ?? 0.9, weightDecay: n.weightDecay ?? 0,
        untouched: untouched ?? .stepped)
    },
    Entry(name: "nesterov", numbers: ["weight decay", "beta1"]) {
      (rate, n, untouched) throws(EmbedError) in
      try .momentum(
        learningRate: rate, beta: n.beta1 ?? 0.9, direction: .nesterov,
        weightDecay: n.weightDecay ?? 0, untouched: untouched ?? .stepped)
    },
    Entry(name: "adagrad", numbers: ["weight decay", "epsilon", "initial sum", "rate decay"]) {
      (rate, n, untouched) throws(EmbedError) in
      try .adagrad(
        learningRate: rate, rateDecay: n.rateDecay ?? 0, initialSum: n.initialSum ?? 0,
        epsilon: n.epsilon ?? 1e-10, weightDecay: n.weightDecay ?? 0,
        untouched: untouched ?? .left)
    },
    Entry(name: "row-wise-adagrad", numbers: ["weight decay", "epsilon", "initial sum"]) {
      (rate, n, untouched) throws(EmbedError) in
      try .rowWiseAdagrad(
        learningRate: rate, initialSum: n.initialSum ?? 0, epsilon: n.epsilon ?? 1e-10,
        weightDecay: n.weightDecay ?? 0, untouched: untouched ?? .left)
    },
    Entry(name: "adam", numbers: adamNumbers) { (rate, n, untouched) throws(EmbedError) in
      try .adam(
        learningRate: rate, beta1: n.beta1 ?? 0.9, beta2: n.beta2 ?? 0.999,
        epsilon: n.epsilon ?? 1e-8, weightDecay: n.weightDecay ?? 0,
        untouched: untouched ?? .stepped)
    },
    Entry(name: "sparse-adam", numbers: adamNumbers) { (rate, n, untouched) throws(EmbedError) in
      try .adam(
        learningRate: rate, beta1: n.beta1 ?? 0.9, beta2: n.beta2 ?? 0.999,
        epsilon: n.epsilon ?? 1e-8, epsilonForm: .uncorrected, weightDecay: n.weightDecay ?? 0,
        untouched: untouched ?? .left)
    },
    Entry(name: "adamw", numbers: adamNumbers) { (rate, n, untouched) throws(EmbedError) in
      try .adamW(
        learningRate: rate, beta1: n.beta1 ?? 0.9, beta2: n.beta2 ?? 0.999,
        epsilon: n.epsilon ?? 1e-8, weightDecay: n.weightDecay ?? 0.01,
        untouched: untouched ?? .stepped)
    },
    Entry(name: "lamb", numbers: adamNumbers) { (rate, n, untouched) throws(EmbedError) in
      try .lamb(
        learningRate: rate, beta1: n.beta1 ?? 0.9, beta2: n.beta2 ?? 0.999,
        epsilon: n.epsilon ?? 1e-6, weightDecay: n.weightDecay ?? 0.01,
        untouched: untouched ?? .stepped)
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
    guard let entry = list.first(where: { $0.name == name }) else {
      throw .unsupported(
        argument: "optimizer", value: name, expected: names.joined(separator: ", "))
    }
    try numbers.check(only: entry.numbers, name)
    return try entry.make(learningRate, numbers, untouched)
  }
}
