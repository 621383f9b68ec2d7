// What the attention biases of the command take: sizes, parameters of trained schemes, and the
// vectors of those that depend on content.

internal import EmbedKernel

enum BiasOptions {
  static let heads = Option(
    "heads", .integer("H", in: 1...4_096), "Heads of a bias", default: 8, ", or the queries'")
  static let direction = Option<DistanceBuckets.Direction>(
    "direction", .cases,
    "Whether keys after the query are biased, or masked with minus infinity", default: .causal)
  static let buckets = Option(
    "buckets", .integer(), "Buckets of t5 (default 32), or log buckets of deberta (default none)")
  static let maximumDistance = Option(
    "maximum-distance", .integer(in: 2...1 << 24), "Distance of the last bucket",
    otherwise: "128, deberta 512")
  static let window = Option(
    "window", .window, "Window of swin, whose places are the positions",
    default: Window(rows: 7, columns: 7))
  static let reach = Option(
    "reach", .integer(in: 1...1 << 14),
    "Distances with vectors of their own: clip of shaw, span of deberta, extent of "
      + "content-relative, positions of cope", default: 16)
  static let model = Option(
    "model-dim", .integer("M", in: 2...1 << 14), "Sinusoid of transformer-xl",
    otherwise: "heads times head dim")
  static let weights = Option(
    "weights", .array,
    "Parameters of a trained scheme, float32, in the order of its documentation, any shape")
  static let weightSeed = Option(
    "weight-seed", .seed, "Seed of parameters that are not given, normal(0, 1)", default: 0)
  static let queries = Option(
    "queries", .array,
    "Queries of a scheme that depends on content, float32 [batch, heads, queries, head dim]")
  static let keys = Option("keys", .array, "Its keys, float32 [batch, heads, keys, head dim]")
  static let logits = Option(
    "logits", .array, "Logits that cope counts by, float32 [batch, heads, queries, keys]",
    otherwise: "0")

  static let group = OptionGroup(
    "Biases",
    [
      heads, direction, buckets, maximumDistance, window, reach, model, weights, weightSeed,
      queries,
      keys, logits,
    ])

  static func mask(_ arguments: Arguments) throws -> AttentionMask {
    try arguments[direction] == .causal ? .causal : []
  }

  /// The parameters of --weights, or normal ones, or `start` where a scheme has a known start.
  static func parameters(
    _ arguments: Arguments, count: Int, start: [Float]? = nil
  ) throws -> [Float] {
    guard let path = try arguments[weights] else {
      if let start, !arguments.has(weightSeed) { return start }
      let table = try EmbeddingTable<Float>(
        rows: 1, dim: count, .normal(sigma: 1), seed: arguments[weightSeed])
      return unsafe Array(table.unsafeBuffer)
    }
    let file = try ArrayFile(path)
    guard file.count == count else {
      throw CommandError.data(
        "'\(path)': expected \(count) parameters, found \(file.count) in shape \(file.shape)")
    }
    return try file.floats()
  }

  /// The same as a table of rows of `dim`.
  static func table(
    _ arguments: Arguments, rows: Int, dim: Int, start: [Float]? = nil
  ) throws -> EmbeddingTable<Float> {
    let values = try parameters(arguments, count: rows * dim, start: start)
    return try EmbeddingTable<Float>(rows: rows, dim: dim, copying: values.span)
  }
}

/// The sizes of a window.
struct Window: Sendable {
  let rows: Int
  let columns: Int
}

extension OptionKind where Value == Window {
  static var window: Self {
    Self("ROWSxCOLUMNS", show: { "\($0.rows)x\($0.columns)" }) { text throws(OptionFault) in
      let sizes = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
      guard sizes.count == 2, let rows = sizes[0], let columns = sizes[1],
        (1...128).contains(rows), (1...128).contains(columns)
      else {
        throw OptionFault("'\(text)' is not ROWSxCOLUMNS, each an integer of 1 to 128")
      }
      return Window(rows: rows, columns: columns)
    }
  }
}
