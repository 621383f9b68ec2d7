// What the attention biases of the command take: sizes, parameters of trained schemes, and the
// vectors of those that depend on content.

internal import EmbedKernel

enum BiasOptions {
  static let heads = Option("heads", "H", "Heads of a bias (default 8, or the queries').")
  static let direction = ChoiceOption<DistanceBuckets.Direction>(
    "direction", DistanceBuckets.Direction.allCases.map { ($0.rawValue, $0) },
    "Whether keys after the query are biased, or masked with minus infinity (default causal).")
  static let buckets = Option(
    "buckets", "N", "Buckets of t5 (default 32), or log buckets of deberta (default none).")
  static let maximumDistance = Option(
    "maximum-distance", "N", "Distance of the last bucket (default 128, deberta 512).")
  static let window = Option(
    "window", "ROWSxCOLUMNS", "Window of swin, whose places are the positions (default 7x7).")
  static let reach = Option(
    "reach", "N",
    "Distances with vectors of their own: clip of shaw, span of deberta, extent of "
      + "content-relative, positions of cope (default 16).")
  static let model = Option(
    "model-dim", "M", "Sinusoid of transformer-xl (default heads times head dim).")
  static let weights = Option(
    "weights", "NPY",
    "Parameters of a trained scheme, float32, in the order of its documentation, any shape.")
  static let weightSeed = Option(
    "weight-seed", "N", "Seed of parameters that are not given, normal(0, 1) (default 0).")
  static let queries = Option(
    "queries", "NPY",
    "Queries of a scheme that depends on content, float32 [batch, heads, queries, head dim].")
  static let keys = Option(
    "keys", "NPY", "Its keys, float32 [batch, heads, keys, head dim].")
  static let logits = Option(
    "logits", "NPY",
    "Logits that cope counts by, float32 [batch, heads, queries, keys] (default 0).")

  static let group = OptionGroup(
    "Biases",
    [
      heads, direction.option, buckets, maximumDistance, window, reach, model, weights, weightSeed,
      queries, keys, logits,
    ])

  static func heads(_ arguments: Arguments) throws -> Int {
    try arguments.integer(heads, in: 1...4_096) ?? 8
  }

  static func direction(_ arguments: Arguments) throws -> DistanceBuckets.Direction {
    try arguments.choice(direction) ?? .causal
  }

  static func mask(_ arguments: Arguments) throws -> AttentionMask {
    try direction(arguments) == .causal ? .causal : []
  }

  static func offset(_ arguments: Arguments) throws -> Int {
    try arguments.integer(RotaryOptions.offset, in: 0...Int(Int32.max)) ?? 0
  }

  /// The parameters of --weights, or normal ones, or `start` where a scheme has a known start.
  static func parameters(
    _ arguments: Arguments, count: Int, start: [Float]? = nil
  ) throws -> [Float] {
    guard let path = arguments.string(weights) else {
      if let start, !arguments.has(weightSeed) { return start }
      let seed = try arguments.seed(weightSeed) ?? 0
      let table = try EmbeddingTable<Float>(rows: 1, dim: count, .normal(sigma: 1), seed: seed)
      return unsafe Array(table.unsafeBuffer)
    }
    let (shape, values) = try array(path, rank: nil)
    guard values.count == count else {
      throw CommandError.data(
        "'\(path)': expected \(count) parameters, found \(values.count) in shape \(shape)")
    }
    return values
  }

  /// The same as a table of rows of `dim`.
  static func table(
    _ arguments: Arguments, rows: Int, dim: Int, start: [Float]? = nil
  ) throws -> EmbeddingTable<Float> {
    let values = try parameters(arguments, count: rows * dim, start: start)
    return try EmbeddingTable<Float>(rows: rows, dim: dim, copying: values.span)
  }

  /// The shape and elements of a file of floats.
  static func array(_ path: String, rank: Int?) throws -> (shape: [Int], values: [Float]) {
    let file = try ArrayFile(path)
    if let rank { try file.require(rank: rank) }
    var values = try SystemMemory.array(0 as Float, count: file.count)
    var span = values.mutableSpan
    try file.read(into: &span)
    return (file.shape, values)
  }
}
