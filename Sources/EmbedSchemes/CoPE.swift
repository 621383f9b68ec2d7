// CoPE: positions counted by content. A gate on each logit says whether its key counts, the number
// of counted keys from there to the query is its position, and the query against a trained vector
// of that position is added. Golovneva et al., "Contextual Position Encoding: Learning to Count
// What's Important", 2024; the form is that of x-transformers.
//
// P positions, d head dim; gates g = sigmoid(logits), p_ij = sum of g_ik over keys k >= j.

internal import CSystem
public import EmbedKernel

/// The bias q_i · e[p_ij], p_ij at most P - 1, e interpolated between whole positions.
///
/// It reads the logits it is added to, so it has calls of its own. Masked logits are minus infinity
/// and count for nothing. A tile needs all keys that its queries see: the count runs from the last.
public final class CoPE: Sendable {
  /// e, shape `[positions, headDim]`.
  public let table: EmbeddingTable<Float>

  /// CoPE over `table`, which is shared, not copied.
  ///
  /// - Throws: `invalidSize` for more than 16,384 positions, whose products are kept on the stack.
  public init(table: EmbeddingTable<Float>) throws(EmbedError) {
    guard table.rows <= RelativeProducts.Scratch.count else {
      throw .invalidSize(
        argument: "positions", value: table.rows,
        expected: "1...\(RelativeProducts.Scratch.count)")
    }
    self.table = table
  }

  /// The number of parameters.
  public var parameterCount: Int { table.rows * table.dim }
}

extension Kernels {
  /// Adds CoPE's bias to logits, which are masked already.
  ///
  /// - Parameters:
  ///   - queryVectors: Shape `[batch, heads, queries, headDim]`.
  ///   - logits: Shape `[batch, heads, queries, keys]`; masked ones are minus infinity.
  ///   - queries: Where the queries stand and to which documents they belong; CoPE counts by
  ///     content, so of this only the documents and the padding matter.
  ///   - keys: Where the keys stand, likewise.
  /// - Throws: `EmbedError`, before anything is written.
  public func addCoPE(
    _ cope: CoPE, queryVectors: Span<Float>, to logits: inout MutableSpan<Float>,
    shape: AttentionShape, queries: PositionIDs = .sequential(),
    keys: PositionIDs = .sequential()
  ) throws(EmbedError) {
    let written = unsafe logits.withUnsafeMutableBufferPointer { unsafe $0 }
    let vectors = unsafe AttentionVectors(
      queries: queryVectors.withUnsafeBufferPointer { unsafe $0 })
    try add(
      cope, unsafe Elements(UnsafeBufferPointer(written)), shape, queries, keys, vectors)
  }

  /// The same for any element type: 16-bit queries are widened to floats in the workspace,
  /// logits one by one, and each is rounded once.
  @inlinable
  public func addCoPE<Element: TableElement>(
    _ cope: CoPE, queryVectors: Span<Element>, to logits: inout MutableSpan<Element>,
    shape: AttentionShape, queries: PositionIDs = .sequential(),
    keys: PositionIDs = .sequential(), workspace: inout BiasWorkspace
  ) throws(EmbedError) {
    let written = unsafe logits.withUnsafeMutableBufferPointer { unsafe $0 }
    let vectors = try unsafe workspace.vectors(
      Elements(queryVectors.withUnsafeBufferPointer { unsafe $0 }), nil, self)
    try add(
      cope, unsafe Elements(UnsafeBufferPointer(written)), shape, queries, keys, vectors)
  }

  @usableFromInline
  func add(
    _ cope: CoPE, _ logits: Elements, _ shape: AttentionShape, _ queries: PositionIDs,
    _ keys: PositionIDs, _ vectors: AttentionVectors
  ) throws(EmbedError) {
    try CoPEVectors(cope).withCall(self, logits, shape, queries, keys, [], vectors) {
      (call) throws(EmbedError) in
      guard let rows = CoPERows(call, cope) else { return }
      CoPEForward(rows: rows).split(rows.blockCount, call.plan.threads)
    }
  }

  /// Adds CoPE's gradients, from the gradient of the logits after it was added.
  ///
  /// The gates pass a gradient to the logits they read, which is added to `logitsGradient` in place:
  /// afterwards it is the gradient of the logits before CoPE.
  ///
  /// - Parameters:
  ///   - logits: The logits before CoPE was added, shape `[batch, heads, queries, keys]`.
  ///   - logitsGradient: The same shape.
  ///   - workspace: Memory kept from call to call.
  ///   - gradient: Of the table, shape `[positions, headDim]`.
  ///   - queryGradient: Shape `[batch, heads, queries, headDim]`, floats whatever the queries are.
  /// - Throws: `EmbedError`, before anything is written.
  /// - Complexity: One thread: the table's gradient is summed row by row, in order.
  @inlinable
  public func addCoPEGradient<Element: TableElement>(
    _ cope: CoPE, queryVectors: Span<Element>, logits: Span<Element>,
    logitsGradient: inout MutableSpan<Element>, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    workspace: inout BiasWorkspace, into gradient: inout MutableSpan<Float>,
    queryGradient: inout MutableSpan<Float>
  ) throws(EmbedError) {
    let written = unsafe logitsGradient.withUnsafeMutableBufferPointer { unsafe $0 }
    try unsafe runGradient(
      cope, unsafe Elements(queryVectors.withUnsafeBufferPointer { unsafe $0 }),
      unsafe Elements(logits.withUnsafeBufferPointer { unsafe $0 }),
      unsafe Elements(UnsafeBufferPointer(written)), shape, queries, keys, &workspace,
      unsafe gradient.withUnsafeMutableBufferPointer { unsafe $0 },
      unsafe queryGradient.withUnsafeMutableBufferPointer { unsafe $0 })
  }

  @usableFromInline
  func runGradient(
    _ cope: CoPE, _ queryVectors: Elements, _ logits: Elements,
    _ logitsGradient: Elements, _ shape: AttentionShape, _ queries: PositionIDs,
    _ keys: PositionIDs, _ workspace: inout BiasWorkspace,
    _ gradient: UnsafeMutableBufferPointer<Float>,
    _ queryGradient: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    for (name, count, expected) in [
      ("logits gradient", logitsGradient.count, logits.count),
      ("query gradient", queryGradient.count, queryVectors.count),
      ("parameter gradient", gradient.count, cope.parameterCount),
    ] where count != expected {
      throw .wrongElementCount(
        argument: name, expected: expected, shape: [expected], actual: count)
    }
    let vectors = try workspace.vectors(queryVectors, nil, self)
    // The logits are read alone.
    try CoPEVectors(cope).withCall(self, logits, shape, queries, keys, [], vectors) {
      (call) throws(EmbedError) in
      guard let rows = CoPERows(call, cope), let base = unsafe logitsGradient.base,
        let toQueries = queryGradient.baseAddress, let toTable = gradient.baseAddress
      else { return }
      unsafe CoPEGradient(
        rows: rows, gradient: UnsafeMutableRawPointer(mutating: base), toQueries: toQueries,
        toTable: toTable
      ).run()
    }
  }
}

/// What a call of CoPE's is checked for: queries of its table's width. Positions are any.
private struct CoPEVectors: AttentionBias {
  let headDim: Int?

  init(_ cope: CoPE) { headDim = cope.table.dim }

  var name: String { "CoPE" }
  var heads: Int? { nil }
  func value(head: Int, query: Int, key: Int) -> Double { 0 }
}
