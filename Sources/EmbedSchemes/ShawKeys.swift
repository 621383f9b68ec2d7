// Relative keys: a trained vector for each clipped distance, multiplied with the query in the logits.
// Shaw et al., "Self-Attention with Relative
// Position Representations", 2018.
//
// k clip, d head dim, delta = key position - query position.

public import EmbedKernel

/// The bias scale · q_i · a[clip(delta, -k, k) + k], a trained and shared by all heads.
@safe public final class ShawKeys: TrainedBias {
  /// The longest distance with a vector of its own.
  public let clip: Int
  /// The vectors, shape `[2·clip + 1, headDim]`, from the furthest key before to the furthest after.
  public let table: EmbeddingTable<Float>
  /// Multiplies the product, as it multiplies that of queries and keys.
  public let scale: Double

  private let index: RelativeIndex

  /// A bias over `table`, which is shared, not copied.
  ///
  /// - Parameter scale: 1/sqrt(headDim) where it is not given.
  /// - Throws: `invalidSize` where the rows are not 2·clip + 1; `invalidValue` for a scale that is
  ///   not finite.
  public init(clip: Int, table: EmbeddingTable<Float>, scale: Double? = nil) throws(EmbedError) {
    guard clip >= 0, clip < 1 << 24 else {
      throw .invalidSize(argument: "clip", value: clip, expected: "0..<\(1 << 24)")
    }
    guard table.rows == 2 * clip + 1 else {
      throw .invalidSize(
        argument: "rows of Shaw's table", value: table.rows, expected: "\(2 * clip + 1)")
    }
    let scale = scale ?? 1 / Double(table.dim).squareRoot()
    guard scale.isFinite else {
      throw .invalidValue(argument: "scale", value: scale, expected: "a finite number")
    }
    self.clip = clip
    self.table = table
    self.scale = scale
    index = RelativeIndex { max(-clip, min(clip, $0)) + clip }
  }

  /// `shaw`.
  public var name: String { "shaw" }
  /// Any.
  public var heads: Int? { nil }
  /// The columns of the table.
  public var headDim: Int? { table.dim }
  /// The whole table.
  public var parameterCount: Int { table.rows * table.dim }

  /// Zero: the bias depends on the query's vector.
  public func value(head: Int, query: Int, key: Int) -> Double { 0 }

  /// Grows the index, and brings rows that an optimiser left behind up to date.
  public func prepare(_ reach: BiasReach) throws(EmbedError) {
    unsafe _ = table.unsafeBuffer
    try index.cover(reach)
  }

  var products: RelativeProducts {
    unsafe RelativeProducts(
      table: UnsafePointer(table.storage.base), stride: table.dim, dim: table.dim,
      index: index.origin, deltas: index.deltas, scale: Float(scale))
  }

  /// Adds the products that distances pick.
  public func add(_ block: BiasBlock) {
    guard let queries = unsafe block.queryVectors else { return }
    unsafe products.add(block, queries: queries)
  }

  /// Sums the gradients of the table and the queries.
  public func addGradient(_ block: BiasGradientBlock) {
    unsafe products.addGradient(
      block.block, queries: block.block.queryVectors, queryGradient: block.queryGradient,
      tableGradient: block.sums)
  }
}
