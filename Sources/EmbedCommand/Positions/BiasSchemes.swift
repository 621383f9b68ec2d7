// Attention biases for the command: the bias [heads, T, T] of each scheme that positions alone
// decide. Trained schemes take the parameters they start from, or a seed.

internal import EmbedKernel

enum BiasOptions {
  static let heads = Option("heads", "H", "Heads of a bias (default 8).")
  static let direction = ChoiceOption<DistanceBuckets.Direction>(
    "direction", DistanceBuckets.Direction.allCases.map { ($0.rawValue, $0) },
    "Whether a bias counts keys after the query apart (default causal).")
  static let buckets = Option("buckets", "N", "Buckets of t5 (default 32).")
  static let maximumDistance = Option(
    "maximum-distance", "N", "Distance of the last bucket of t5 (default 128).")
  static let weightSeed = Option(
    "weight-seed", "N", "Seed of the weights of t5 and fire, normal(0, 1) (default 0).")

  static let group = OptionGroup(
    "Biases", [heads, direction.option, buckets, maximumDistance, weightSeed])

  static func heads(_ arguments: Arguments) throws -> Int {
    try arguments.integer(heads, in: 1...4_096) ?? 8
  }

  static func weights(_ arguments: Arguments, rows: Int, dim: Int) throws -> EmbeddingTable {
    let seed = try arguments.integer(weightSeed, in: 0...Int.max) ?? 0
    return try EmbeddingTable(rows: rows, dim: dim, .normal(sigma: 1), seed: UInt64(seed))
  }

  /// The bias of T queries against T keys; where it is causal, later keys are minus infinity.
  static func array(
    _ arguments: Arguments, _ bias: any AttentionBias, _ mask: AttentionMask
  ) throws -> SchemeArray {
    let (heads, context) = (
      try heads(arguments),
      try arguments.integer(RotaryOptions.context, in: 1...1 << 14) ?? 64
    )
    let offset = try arguments.integer(RotaryOptions.offset, in: 0...Int(Int32.max)) ?? 0
    var values = [Float](repeating: 0, count: heads * context * context)
    let place = PositionIDs.sequential(offset: offset)
    var span = values.mutableSpan
    try Kernels.auto.writeBias(
      bias, into: &span, shape: AttentionShape(heads: heads, queries: context, keys: context),
      queries: place, keys: place, mask: mask)
    return SchemeArray(
      shape: [heads, context, context], values: values, rows: "query", columns: "key")
  }

  static func mask(_ arguments: Arguments) throws -> AttentionMask {
    try direction(arguments) == .causal ? .causal : []
  }

  static func direction(_ arguments: Arguments) throws -> DistanceBuckets.Direction {
    try arguments.choice(direction) ?? .causal
  }
}

extension PositionScheme {
  private static func bias(
    _ name: String, _ summary: String,
    _ make: @escaping @Sendable (Arguments) throws -> any AttentionBias
  ) -> PositionScheme {
    PositionScheme(
      name: name, summary: "\(summary), bias [H, T, T]",
      array: {
        try BiasOptions.array($0, make($0), BiasOptions.mask($0))
      }, rotate: nil)
  }

  /// One line a scheme.
  static let biases: [PositionScheme] = [
    bias("alibi", "a slope of each head's own times the distance") {
      try DistanceTable(
        ALiBi(
          heads: BiasOptions.heads($0),
          direction: BiasOptions.direction($0) == .causal ? .causal : .symmetric))
    },
    bias("t5", "a weight for each bucket of distances") {
      let count = try $0.integer(BiasOptions.buckets, in: 2...1 << 16) ?? 32
      return try DistanceTable(
        T5Bias(
          DistanceBuckets(
            count: count,
            maximumDistance: $0.integer(BiasOptions.maximumDistance, in: 2...1 << 24) ?? 128,
            direction: BiasOptions.direction($0)),
          weights: BiasOptions.weights($0, rows: count, dim: BiasOptions.heads($0))))
    },
    bias("kerple-logarithmic", "-ln(1 + n)") { try kerple($0, .logarithmic) },
    bias("kerple-power", "-n") { try kerple($0, .power) },
    bias("sandwich", "the product of sinusoids at a distance") {
      try DistanceTable(
        Sandwich(
          heads: BiasOptions.heads($0),
          dim: $0.integer(RotaryOptions.headDim, in: 2...1 << 16) ?? 64,
          base: $0.number(RotaryOptions.base, above: 0) ?? 10_000))
    },
    bias("fire", "a small network of the distance in proportion") {
      let heads = try BiasOptions.heads($0)
      let count = FIRE.parameterCount(heads: heads, width: 32)
      let parameters = try BiasOptions.weights($0, rows: 1, dim: count)
      parameters.withMutableSpan {
        // The published start of c and of the threshold's factor.
        $0[count - 2] = 0.1
        $0[count - 1] = 1
      }
      return try FIRE(heads: heads, parameters: parameters)
    },
  ]

  private static func kerple(
    _ arguments: Arguments, _ kernel: KERPLE.Kernel
  ) throws -> any AttentionBias {
    let ones = try EmbeddingTable(
      rows: 2, dim: BiasOptions.heads(arguments), .uniform(low: 1, high: 1))
    return try DistanceTable(KERPLE(kernel, parameters: ones))
  }
}
