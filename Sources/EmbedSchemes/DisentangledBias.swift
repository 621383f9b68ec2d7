// DeBERTa's disentangled bias: the query against a projected vector of the distance, and the key
// against another. He et al., "DeBERTa: Decoding-enhanced BERT with Disentangled Attention", 2021;
// the log buckets are version 2's.
//
// S span, d head dim, H heads, n = query position - key position.

internal import CSystem
public import EmbedKernel

/// The bias scale · (q_i · K[r] + k_j · Q[r]), r = clip(bucket(n) + S, 0, 2S - 1).
///
/// K and Q are the relative embeddings after the model's key and query projections, a row for each
/// bucket and a head after another in it; their gradients go back through those projections.
@safe public final class DisentangledBias: TrainedBias {
  /// The distances with rows: `-span..<span`, after bucketing.
  public let span: Int
  /// The number of log buckets, or nil where distances are clipped alone, as in version 1.
  public let bucketCount: Int?
  /// The distance that the last bucket reaches.
  public let maximumDistance: Int
  /// Shape `[2·span, heads·headDim]`; nil where content-to-position is left out.
  public let keyTable: EmbeddingTable<Float>?
  /// Shape `[2·span, heads·headDim]`; nil where position-to-content is left out.
  public let queryTable: EmbeddingTable<Float>?
  /// Multiplies both products: 1/sqrt(headDim · 3) with both terms.
  public let scale: Double

  private let headCount: Int
  private let dim: Int
  private let index: RelativeIndex

  /// A bias over the two tables, which are shared, not copied.
  ///
  /// - Parameters:
  ///   - buckets: Version 2's `position_buckets`; nil clips.
  ///   - maximumDistance: Version 2's `max_relative_positions`.
  ///   - scale: 1/sqrt(headDim · (1 + the number of tables)) where it is not given.
  /// - Throws: `invalidSize` for sizes that do not fit each other or no table, `invalidValue` for a
  ///   scale that is not finite.
  public init(
    heads: Int, span: Int, buckets: Int? = nil, maximumDistance: Int = 512,
    keyTable: EmbeddingTable<Float>?, queryTable: EmbeddingTable<Float>?, scale: Double? = nil
  ) throws(EmbedError) {
    guard span > 0, span < 1 << 24 else {
      throw .invalidSize(argument: "span", value: span, expected: "1..<\(1 << 24)")
    }
    guard let table = keyTable ?? queryTable else {
      throw .invalidSize(argument: "tables", value: 0, expected: "1 or 2")
    }
    guard heads > 0, table.dim % heads == 0 else {
      throw .invalidSize(argument: "heads", value: heads, expected: "a divisor of \(table.dim)")
    }
    for case let given? in [keyTable, queryTable] {
      guard given.rows == 2 * span else {
        throw .invalidSize(
          argument: "rows of a disentangled table", value: given.rows, expected: "\(2 * span)")
      }
      guard given.dim == table.dim else {
        throw .invalidSize(
          argument: "columns of a disentangled table", value: given.dim,
          expected: "\(table.dim), as in the other")
      }
    }
    if let buckets {
      guard buckets >= 4 else {
        throw .invalidSize(argument: "buckets", value: buckets, expected: "4 or more")
      }
      guard maximumDistance - 1 > buckets / 2 else {
        throw .invalidSize(
          argument: "maximum distance", value: maximumDistance,
          expected: "more than \(buckets / 2 + 1)")
      }
    }
    let dim = table.dim / heads
    let terms = 1 + (keyTable == nil ? 0 : 1) + (queryTable == nil ? 0 : 1)
    let scale = scale ?? 1 / Double(dim * terms).squareRoot()
    guard scale.isFinite else {
      throw .invalidValue(argument: "scale", value: scale, expected: "a finite number")
    }
    headCount = heads
    self.dim = dim
    self.span = span
    bucketCount = buckets
    self.maximumDistance = maximumDistance
    self.keyTable = keyTable
    self.queryTable = queryTable
    self.scale = scale
    index = RelativeIndex { delta in
      let bucket =
        buckets.map { Self.logBucket(-delta, count: $0, maximumDistance: maximumDistance) }
        ?? -delta
      return max(0, min(2 * span - 1, bucket + span))
    }
  }

  /// The signed bucket of distance `n`: itself up to half the buckets, then in proportion to its
  /// logarithm, `count - 1` at `maximumDistance - 1`.
  public static func logBucket(_ n: Int, count: Int, maximumDistance: Int) -> Int {
    let middle = count / 2
    guard n.magnitude > middle else { return n }
    let ratio =
      log(Double(n.magnitude) / Double(middle)) / log(Double(maximumDistance - 1) / Double(middle))
    let step = ratio * Double(middle - 1)
    // A step that is an integer in exact arithmetic must not move by a rounding of log.
    let nearest = step.rounded()
    let bucket = (abs(step - nearest) < 1e-9 ? nearest : step.rounded(.up)) + Double(middle)
    return n < 0 ? -Int(saturating: bucket) : Int(saturating: bucket)
  }

  /// `deberta`.
  public var name: String { "deberta" }
  /// As many as the tables' rows hold.
  public var heads: Int? { headCount }
  /// The floats of a head's vector.
  public var headDim: Int? { dim }
  /// Both tables' numbers: the key table first.
  public var parameterCount: Int { tableCount * 2 * span * headCount * dim }

  private var tableCount: Int { (keyTable == nil ? 0 : 1) + (queryTable == nil ? 0 : 1) }

  /// Zero: the bias depends on vectors.
  public func value(head: Int, query: Int, key: Int) -> Double { 0 }

  /// Grows the index, and brings rows that an optimiser left behind up to date.
  public func prepare(_ reach: BiasReach) throws(EmbedError) {
    unsafe _ = (keyTable?.unsafeBuffer, queryTable?.unsafeBuffer)
    try index.cover(reach)
  }

  private func products(_ table: EmbeddingTable<Float>, _ head: Int) -> RelativeProducts {
    unsafe RelativeProducts(
      table: UnsafePointer(table.storage.base) + head * dim, stride: table.dim, dim: dim,
      index: index.origin, deltas: index.deltas, scale: Float(scale))
  }

  /// Adds both terms.
  public func add(_ block: BiasBlock) {
    if let keyTable, let queries = unsafe block.queryVectors {
      unsafe products(keyTable, block.head).add(block, queries: queries)
    }
    if let queryTable, let keys = unsafe block.keyVectors {
      unsafe products(queryTable, block.head).addByKey(block, keys: keys)
    }
  }

  /// The head's part of each table's gradient.
  public func sumCount(_ reach: BiasReach) -> Int { tableCount * 2 * span * dim }

  /// Sums the gradients of the tables, the queries and the keys.
  public func addGradient(_ block: BiasGradientBlock) {
    let inner = block.block
    if let keyTable {
      unsafe products(keyTable, block.head).addGradient(
        block.block, queries: inner.queryVectors, queryGradient: block.queryGradient,
        tableGradient: block.sums)
    }
    if let queryTable, let keys = unsafe inner.keyVectors {
      unsafe products(queryTable, block.head).addGradientByKey(
        block.block, keys: keys, keyGradient: block.keyGradient,
        tableGradient: block.sums + (keyTable == nil ? 0 : 2 * span * dim))
    }
  }

  /// Puts the head's columns into the tables' gradients.
  public func reduce(
    _ sums: UnsafeBufferPointer<Float>, head: Int, reach: BiasReach,
    into gradient: UnsafeMutableBufferPointer<Float>
  ) {
    for row in 0..<tableCount * 2 * span {
      for i in 0..<dim {
        unsafe gradient[(row * headCount + head) * dim + i] += sums[row * dim + i]
      }
    }
  }
}
