// Relative keys and values: a trained vector for each clipped distance, multiplied with the query in
// the logits, and added to the values in the output. Shaw et al., "Self-Attention with Relative
// Position Representations", 2018.
//
// k clip, d head dim, delta = key position - query position.

/// The bias scale · q_i · a[clip(delta, -k, k) + k], a trained and shared by all heads.
@safe public final class ShawKeys: TrainedBias {
  /// The longest distance with a vector of its own.
  public let clip: Int
  /// The vectors, shape `[2·clip + 1, headDim]`, from the furthest key before to the furthest after.
  public let table: EmbeddingTable
  /// Multiplies the product, as it multiplies that of queries and keys.
  public let scale: Double

  private let index: RelativeIndex

  /// A bias over `table`, which is shared, not copied.
  ///
  /// - Parameter scale: 1/sqrt(headDim) where it is not given.
  /// - Throws: `invalidSize` where the rows are not 2·clip + 1; `invalidValue` for a scale that is
  ///   not finite.
  public init(clip: Int, table: EmbeddingTable, scale: Double? = nil) throws(EmbedError) {
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

  /// Grows the index.
  public func prepare(_ reach: BiasReach) throws(EmbedError) { try index.cover(reach) }

  fileprivate var products: RelativeProducts {
    unsafe RelativeProducts(
      table: UnsafePointer(table.storage.base), stride: table.dim, dim: table.dim,
      index: index.origin, deltas: index.deltas, scale: Float(scale))
  }

  /// Adds the products that distances pick.
  public func add(_ block: BiasBlock) {
    guard let queries = unsafe block.content.queries else { return }
    unsafe products.add(block, queries: queries)
  }

  /// The table's gradient.
  public func sumCount(_ reach: BiasReach) -> Int { parameterCount }

  /// Sums the gradients of the table and the queries.
  public func addGradient(_ block: BiasGradientBlock) {
    unsafe products.addGradient(
      block.block, queries: block.block.content.queries, queryGradient: block.queryGradient,
      tableGradient: block.sums)
  }

  /// Adds the head's table.
  public func reduce(
    _ sums: UnsafeBufferPointer<Float>, head: Int, reach: BiasReach,
    into gradient: UnsafeMutableBufferPointer<Float>
  ) {
    for i in 0..<sums.count { unsafe gradient[i] += sums[i] }
  }
}

/// The addition of sum over j of w_ij · a[clip(delta, -k, k) + k] to the attention's output, a
/// trained and shared by all heads.
///
/// It is the transpose of `ShawKeys`: its forward pass is that one's gradient of the queries.
public final class ShawValues: Sendable {
  /// The same products, unscaled.
  public let keys: ShawKeys

  /// Values over `table`, shape `[2·clip + 1, headDim]`, which is shared, not copied.
  ///
  /// - Throws: `invalidSize` where the rows are not 2·clip + 1.
  public init(clip: Int, table: EmbeddingTable) throws(EmbedError) {
    keys = try ShawKeys(clip: clip, table: table, scale: 1)
  }

  /// The number of parameters.
  public var parameterCount: Int { keys.parameterCount }
}

/// `ShawValues`' forward pass as a walk over blocks: the weights are read where a gradient of logits
/// would be, the output is written where one of queries would be.
private final class RelativeValuesWalk: TrainedBias {
  let keys: ShawKeys
  init(_ keys: ShawKeys) { self.keys = keys }
  var name: String { "shaw values" }
  var heads: Int? { nil }
  var headDim: Int? { keys.headDim }
  var parameterCount: Int { 0 }
  func value(head: Int, query: Int, key: Int) -> Double { 0 }
  func prepare(_ reach: BiasReach) throws(EmbedError) { try keys.prepare(reach) }
  func sumCount(_ reach: BiasReach) -> Int { 0 }
  func addGradient(_ block: BiasGradientBlock) {
    unsafe keys.products.addGradient(
      block.block, queries: nil, queryGradient: block.queryGradient, tableGradient: nil)
  }
  func reduce(
    _ sums: UnsafeBufferPointer<Float>, head: Int, reach: BiasReach,
    into gradient: UnsafeMutableBufferPointer<Float>
  ) {}
}

extension Kernels {
  /// Adds relative values to the output of attention.
  ///
  ///     output[b, h, i, :] += sum over j of weights[b, h, i, j] · table[clip(j - i, -k, k) + k, :]
  ///
  /// - Parameters:
  ///   - weights: Attention weights after softmax, shape `[batch, heads, queries, keys]`.
  ///   - output: Shape `[batch, heads, queries, headDim]`.
  ///   - workspace: Memory kept from call to call.
  /// - Throws: `EmbedError`, before anything is written.
  public func addRelativeValues(
    _ values: ShawValues, weights: Span<Float>, to output: inout MutableSpan<Float>,
    shape: AttentionShape, queries: PositionIDs = .sequential(),
    keys: PositionIDs = .sequential(), workspace: inout BiasWorkspace
  ) throws(EmbedError) {
    let written = unsafe output.withUnsafeMutableBufferPointer { unsafe $0 }
    try unsafe RelativeValuesWalk(values.keys).runGradient(
      self, weights.withUnsafeBufferPointer { unsafe $0 }, shape, queries, keys, [],
      AttentionVectors(queries: UnsafeBufferPointer(written), keys: nil),
      AttentionGradients(queries: written, keys: nil), &workspace,
      UnsafeMutableBufferPointer(start: nil, count: 0), readsKeys: false)
  }

  /// Adds the gradients of relative values to those of the weights and of the table.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, heads, queries, headDim]`.
  ///   - weightsGradient: Shape `[batch, heads, queries, keys]`.
  ///   - gradient: Shape `[2·clip + 1, headDim]`.
  public func addRelativeValuesGradient(
    _ values: ShawValues, weights: Span<Float>, outputGradient: Span<Float>,
    shape: AttentionShape, queries: PositionIDs = .sequential(),
    keys: PositionIDs = .sequential(), workspace: inout BiasWorkspace,
    weightsGradient: inout MutableSpan<Float>, into gradient: inout MutableSpan<Float>
  ) throws(EmbedError) {
    let vectors = unsafe AttentionVectors(
      queries: outputGradient.withUnsafeBufferPointer { unsafe $0 }, keys: nil)
    try unsafe values.keys.runGradient(
      self, weights.withUnsafeBufferPointer { unsafe $0 }, shape, queries, keys, [], vectors,
      AttentionGradients(), &workspace, gradient.withUnsafeMutableBufferPointer { unsafe $0 },
      readsKeys: false)
    try unsafe values.keys.run(
      self, weightsGradient.withUnsafeMutableBufferPointer { unsafe $0 }, shape, queries, keys, [],
      vectors, overwrites: false, readsKeys: false)
  }
}
