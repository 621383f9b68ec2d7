// What the fused layer adds to token and position rows: segments, normalisation and dropout.

internal import EmbedKernel

/// A fused layer with the rest of its call.
struct FusedCall {
  let layer: FusedInputEmbedding<Float>
  /// `[batch, context]`; nil where all tokens are of segment 0.
  let segmentIDs: [Int64]?
  /// Which dropout mask; nil drops nothing.
  let trainingStep: UInt64?
}

enum FusedOptions {
  static let segmentTable = Option(
    "segment-table", .array,
    "Segment table [segments, dim], BERT's token types, whose rows are added", otherwise: "none")
  static let segmentIDs = Option(
    "segment-ids", .array, "Segment of each token [batch, context], integers", otherwise: "all 0"
  ).needing(segmentTable)
  static let normalize = Option<Normalization.Kind?>(
    "normalize", .choice([("layer", .layer), ("rms", .rootMeanSquare)]),
    "Normalises each vector of the sum over dim: layer is (x - mean) / sqrt(variance + epsilon) * "
      + "gamma + beta with the variance over dim elements, as torch's layer_norm; rms is x / "
      + "sqrt(mean(x * x) + epsilon) * gamma + beta, as torch's rms_norm", otherwise: "not")
  static let gamma = Option("gamma", .array, "Gain [dim]", otherwise: "ones").needing(normalize)
  static let beta = Option(
    "beta", .array, "What is added after the gain [dim]", otherwise: "nothing"
  ).needing(normalize)
  static let epsilon = Option(
    "epsilon", .number("NUMBER", "0 or more that float32 holds") { $0 >= 0 && Float($0).isFinite },
    "What keeps the divisor from 0", otherwise: "1e-5 for layer, 1e-6 for rms"
  ).needing(normalize)
  static let dropout = Option(
    "dropout", .number("RATE"),
    "Last of all, sets this share of the elements to 0 and multiplies the rest by 1 / (1 - rate), "
      + "0 <= rate < 1. Which ones follows from seed, training step, row of [batch * context, dim] and "
      + "column alone; they are not torch's", otherwise: "0")
  static let dropoutSeed = Option("dropout-seed", .seed, "Seed of the dropout", default: 0)
    .needing(dropout)
  static let trainingStep = Option("training-step", .seed, "Which step's dropout", default: 0)
    .needing(dropout)

  static let group = OptionGroup(
    "Fused layer, computed in float32",
    [
      segmentTable, segmentIDs, normalize, gamma, beta, epsilon, dropout, dropoutSeed, trainingStep,
    ])

  /// Whether any of them is given.
  static func isGiven(_ arguments: Arguments) -> Bool {
    arguments.first(of: group.options) != nil
  }

  /// The call that the options describe, on the layer below; nil where none is given.
  static func call(
    _ arguments: Arguments, _ embedding: InputEmbedding, _ tokens: TokenBatch
  ) throws -> FusedCall? {
    guard isGiven(arguments) else { return nil }
    let dim = embedding.tokens.dim
    let segments = try arguments[segmentTable].map {
      try TableFile.read($0, rowsOf: dim, asIn: "the token table").floats()
    }
    let ids: [Int64]? = try arguments[segmentIDs].map {
      try integers($0, shapes: [[tokens.batch, tokens.context]])
    }
    let rate = try arguments[dropout]
    let seed = try arguments[dropoutSeed]
    let drops = try rate.map { try Dropout(rate: Float($0), seed: seed) }
    return FusedCall(
      layer: try FusedInputEmbedding(
        embedding, segments: segments, normalization: normalization(arguments, dim: dim),
        dropout: drops),
      segmentIDs: ids, trainingStep: rate == nil ? nil : try arguments[trainingStep])
  }

  private static func normalization(
    _ arguments: Arguments, dim: Int
  ) throws -> Normalization? {
    guard let kind = try arguments[normalize] else { return nil }
    let epsilon = try arguments[epsilon] ?? (kind == .layer ? 1e-5 : 1e-6)
    let scale = try vector(arguments[gamma], dim) ?? EmbeddingTable<Float>(rows: 1, dim: dim)
    if !arguments.has(gamma) {
      scale.withMutableSpan { span in for i in span.indices { span[i] = 1 } }
    }
    var offset = try vector(arguments[beta], dim)
    // Its gradient is that of any offset, of one that is zero too.
    if offset == nil, arguments.has(Backward.betaGradient) {
      offset = try EmbeddingTable<Float>(rows: 1, dim: dim)
    }
    return try Normalization(kind, gamma: scale, beta: offset, epsilon: Float(epsilon))
  }

  /// A file's `[dim]` floats as a table of one row.
  private static func vector(_ path: String?, _ dim: Int) throws -> EmbeddingTable<Float>? {
    guard let path else { return nil }
    let file = try ArrayFile(path)
    try file.require(shapes: [[dim]])
    let floats = try file.floats()
    return try EmbeddingTable<Float>(rows: 1, dim: dim, copying: floats.span)
  }
}
