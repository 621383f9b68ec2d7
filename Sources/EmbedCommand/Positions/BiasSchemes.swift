// Attention biases that positions alone decide, for the command: the bias [heads, T, T].

internal import EmbedKernel
internal import EmbedSchemes

extension PositionScheme {
  private static func bias(
    _ name: String, _ summary: String,
    _ make: @escaping @Sendable (Arguments) throws -> any AttentionBias
  ) -> PositionScheme {
    PositionScheme(
      name: name, summary: "\(summary), bias [H, T, T]",
      array: { arguments in
        try arguments.refuse(
          [BiasOptions.queries, BiasOptions.keys, BiasOptions.logits],
          "does not fit here: \(name) depends on positions alone")
        return try array(arguments, make(arguments))
      })
  }

  /// The bias of T queries against T keys; where it is causal, later keys are minus infinity.
  private static func array(
    _ arguments: Arguments, _ bias: any AttentionBias
  ) throws -> SchemeArray {
    let heads = try bias.heads ?? arguments[BiasOptions.heads]
    let given = try arguments.integer(RotaryOptions.context, in: 1...1 << 14)
    let context = try given ?? bias.positions ?? arguments[RotaryOptions.context]
    var values = try SystemMemory.array(
      0 as Float, count: elementCount("bias", heads, context, context))
    let place = try PositionIDs.sequential(offset: arguments[RotaryOptions.offset])
    var span = values.mutableSpan
    try Kernels.auto.writeBias(
      bias, into: &span, shape: AttentionShape(heads: heads, queries: context, keys: context),
      queries: place, keys: place, mask: BiasOptions.mask(arguments))
    return SchemeArray(shape: [heads, context, context], values: values)
  }

  /// One line a scheme.
  static let biases: [PositionScheme] = [
    bias("none", "nothing but the mask") { _ in NoBias() },
    bias("alibi", "a slope of each head's own times the distance") {
      try DistanceTable(
        ALiBi(
          heads: $0[BiasOptions.heads],
          direction: $0[BiasOptions.direction] == .causal ? .causal : .symmetric))
    },
    bias("t5", "a weight for each bucket of distances") {
      let count = try $0.integer(BiasOptions.buckets, in: 2...1 << 16) ?? 32
      return try DistanceTable(
        T5Bias(
          DistanceBuckets(
            count: count,
            maximumDistance: $0[BiasOptions.maximumDistance] ?? 128,
            direction: $0[BiasOptions.direction]),
          weights: BiasOptions.table($0, rows: count, dim: $0[BiasOptions.heads])))
    },
    bias("kerple-logarithmic", "-p ln(1 + a n)") { try kerple($0, .logarithmic) },
    bias("kerple-power", "-a n^p") { try kerple($0, .power) },
    bias("sandwich", "the product of sinusoids at a distance") {
      try DistanceTable(
        Sandwich(
          heads: $0[BiasOptions.heads],
          dim: $0.integer(RotaryOptions.headDim, in: 2...1 << 16) ?? 64,
          base: $0[RotaryOptions.base]))
    },
    bias("fire", "a small network of the distance in proportion") {
      let heads = try $0[BiasOptions.heads]
      let count = FIRE.parameterCount(heads: heads, width: 32)
      let parameters = try BiasOptions.table($0, rows: 1, dim: count)
      if !$0.has(BiasOptions.weights) {
        parameters.withMutableSpan {
          // The published start of c and of the threshold's factor.
          $0[count - 2] = 0.1
          $0[count - 1] = 1
        }
      }
      return try FIRE(heads: heads, parameters: parameters)
    },
    bias("swin", "a weight for each difference of rows and columns in a window") {
      let (window, heads) = (try $0[BiasOptions.window], try $0[BiasOptions.heads])
      return try SwinBias(
        rows: window.rows, columns: window.columns,
        weights: BiasOptions.table(
          $0, rows: (2 * window.rows - 1) * (2 * window.columns - 1), dim: heads))
    },
  ]

  private static func kerple(
    _ arguments: Arguments, _ kernel: KERPLE.Kernel
  ) throws -> any AttentionBias {
    let heads = try arguments[BiasOptions.heads]
    let ones = [Float](repeating: 1, count: 2 * heads)
    return try DistanceTable(
      KERPLE(kernel, parameters: BiasOptions.table(arguments, rows: 2, dim: heads, start: ones)))
  }
}
