// What the fused layer adds to token and position rows: segments, normalisation and dropout.

internal import EmbedKernel

/// A fused layer with the rest of its call.
struct FusedCall {
  let layer: FusedInputEmbedding
  /// `[batch, context]`; nil where all tokens are of segment 0.
  let segmentIDs: [Int32]?
  /// Which dropout mask; nil drops nothing.
  let trainingStep: UInt64?

  /// The segments' ids, as wide as `ids`.
  func segments<ID: TokenID>(like ids: [ID]) -> [ID]? {
    segmentIDs?.map { ID(truncatingIfNeeded: $0) }
  }
}

enum FusedOptions {
  static let segmentTable = Option(
    "segment-table", "NPY",
    "Segment table [segments, dim], BERT's token types, whose rows are added (default: none).")
  static let segmentIDs = Option(
    "segment-ids", "NPY", "Segment of each token [batch, context], integers (default: all 0).")
  static let normalize = ChoiceOption<Normalization.Kind>(
    "normalize", [("layer", .layer), ("rms", .rootMeanSquare)],
    "Normalises each vector of the sum over dim: layer is (x - mean) / sqrt(variance + epsilon) * "
      + "gamma + beta with the variance over dim elements, as torch's layer_norm; rms is x / "
      + "sqrt(mean(x * x) + epsilon) * gamma + beta, as torch's rms_norm (default: not).")
  static let gamma = Option("gamma", "NPY", "Gain [dim] (default: ones).")
  static let beta = Option(
    "beta", "NPY", "What is added after the gain [dim] (default: nothing).")
  static let epsilon = Option(
    "epsilon", "NUMBER", "What keeps the divisor from 0 (default 1e-5 for layer, 1e-6 for rms).")
  static let dropout = Option(
    "dropout", "RATE",
    "Last of all, sets this share of the elements to 0 and multiplies the rest by 1 / (1 - rate), "
      + "0 <= rate < 1 (default 0). Which ones follows from seed, training step, row of [batch * "
      + "context, dim] and column alone; they are not torch's.")
  static let dropoutSeed = Option("dropout-seed", "N", "Seed of the dropout (default 0).")
  static let trainingStep = Option(
    "training-step", "N", "Which step's dropout (default 0).")

  static let group = OptionGroup(
    "Fused layer, computed in float32",
    [
      segmentTable, segmentIDs, normalize.option, gamma, beta, epsilon, dropout, dropoutSeed,
      trainingStep,
    ])

  /// Whether any of them is given.
  static func isGiven(_ arguments: Arguments) -> Bool {
    group.options.contains { arguments.has($0) }
  }

  /// The call that the options describe, on the layer below; nil where none is given.
  static func call(
    _ arguments: Arguments, _ embedding: InputEmbedding, _ tokens: TokenBatch
  ) throws -> FusedCall? {
    guard isGiven(arguments) else { return nil }
    let dim = embedding.tokens.dim
    let segments = try arguments.string(segmentTable).map { path in
      let table = try TableFile(path)
      guard table.dim == dim else {
        throw CommandError.data(
          "'\(path)': expected rows of \(dim) as in the token table, found shape "
            + "\([table.rows, table.dim])")
      }
      return try table.widened()
    }
    let ids = try arguments.string(segmentIDs).map {
      try integers($0, shapes: [[tokens.batch, tokens.context]])
    }
    if ids != nil, segments == nil {
      throw CommandError.usage("--\(segmentIDs.name) needs --\(segmentTable.name)")
    }
    let rate = try arguments.number(dropout)
    for option in [dropoutSeed, trainingStep] where rate == nil && arguments.has(option) {
      throw CommandError.usage("--\(option.name) needs --\(dropout.name)")
    }
    let seed = try arguments.seed(dropoutSeed) ?? 0
    let drops = try rate.map { try Dropout(rate: Float($0), seed: seed) }
    return FusedCall(
      layer: try FusedInputEmbedding(
        embedding, segments: segments, normalization: normalization(arguments, dim: dim),
        dropout: drops),
      segmentIDs: ids, trainingStep: rate == nil ? nil : try arguments.seed(trainingStep) ?? 0)
  }

  private static func normalization(
    _ arguments: Arguments, dim: Int
  ) throws -> Normalization? {
    guard let kind = try arguments.choice(normalize) else {
      for option in [gamma, beta, epsilon] where arguments.has(option) {
        throw CommandError.usage("--\(option.name) needs --\(normalize.option.name)")
      }
      return nil
    }
    let given = try arguments.number(epsilon) ?? (kind == .layer ? 1e-5 : 1e-6)
    guard Float(given).isFinite, given >= 0 else {
      throw CommandError.usage(
        "option --\(epsilon.name): '\(given)' is not a finite number of 0 or more")
    }
    let scale = try vector(arguments.string(gamma), dim) ?? EmbeddingTable<Float>(rows: 1, dim: dim)
    if !arguments.has(gamma) {
      scale.withMutableSpan { span in for i in span.indices { span[i] = 1 } }
    }
    var offset = try vector(arguments.string(beta), dim)
    // Its gradient is that of any offset, of one that is zero too.
    if offset == nil, arguments.has(Backward.betaGradient) {
      offset = try EmbeddingTable<Float>(rows: 1, dim: dim)
    }
    return try Normalization(kind, gamma: scale, beta: offset, epsilon: Float(given))
  }

  /// A file's `[dim]` floats as a table of one row.
  private static func vector(_ path: String?, _ dim: Int) throws -> EmbeddingTable<Float>? {
    guard let path else { return nil }
    let file = try ArrayFile(path)
    guard file.shape == [dim] else {
      throw CommandError.data("'\(path)': expected shape \([dim]), found \(file.shape)")
    }
    let table = try EmbeddingTable<Float>(rows: 1, dim: dim)
    try table.withMutableSpan { span in try file.read(into: &span) }
    return table
  }
}
