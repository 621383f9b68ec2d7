// Relative values: a trained vector for each clipped distance, added to the values in the output of
// attention. Shaw et al., "Self-Attention with Relative Position Representations", 2018.
//
// k clip, d head dim, delta = key position - query position.

public import EmbedKernel

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
  public init(clip: Int, table: EmbeddingTable<Float>) throws(EmbedError) {
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
  /// 16-bit weights and outputs are widened, summed as floats, and rounded once.
  ///
  /// - Parameters:
  ///   - weights: Attention weights after softmax, shape `[batch, heads, queries, keys]`.
  ///   - output: Shape `[batch, heads, queries, headDim]`.
  ///   - workspace: Memory kept from call to call.
  /// - Throws: `EmbedError`, before anything is written.
  @inlinable
  public func addRelativeValues<Element: TableElement>(
    _ values: ShawValues, weights: Span<Element>, to output: inout MutableSpan<Element>,
    shape: AttentionShape, queries: PositionIDs = .sequential(),
    keys: PositionIDs = .sequential(), workspace: inout BiasWorkspace
  ) throws(EmbedError) {
    let written = unsafe output.withUnsafeMutableBufferPointer { unsafe $0 }
    try run(
      values, unsafe Elements(weights.withUnsafeBufferPointer { unsafe $0 }),
      unsafe Elements(UnsafeBufferPointer(written)), shape, queries, keys, &workspace)
  }

  @usableFromInline
  func run(
    _ values: ShawValues, _ weights: Elements, _ output: Elements,
    _ shape: AttentionShape, _ queries: PositionIDs, _ keys: PositionIDs,
    _ workspace: inout BiasWorkspace
  ) throws(EmbedError) {
    let vectors = try workspace.vectors(output, nil, self)
    guard let floats = unsafe vectors.queries else { return }
    try unsafe RelativeValuesWalk(values.keys).addGradient(
      self, weights, shape, queries, keys, [], vectors,
      AttentionGradients(queries: UnsafeMutableBufferPointer(mutating: floats)), &workspace,
      into: UnsafeMutableBufferPointer(start: nil, count: 0))
    guard output.type != .float32 else { return }
    try unsafe convert(
      UnsafeRawBufferPointer(floats), .float32, floats.count,
      UnsafeMutableRawBufferPointer(
        start: UnsafeMutableRawPointer(mutating: output.base),
        count: output.count * output.type.byteCount), output.type, output.count)
  }

  /// Adds the gradients of relative values to those of the weights and of the table.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, heads, queries, headDim]`.
  ///   - weightsGradient: Shape `[batch, heads, queries, keys]`.
  ///   - gradient: Shape `[2·clip + 1, headDim]`.
  @inlinable
  public func addRelativeValuesGradient<Element: TableElement>(
    _ values: ShawValues, weights: Span<Element>, outputGradient: Span<Element>,
    shape: AttentionShape, queries: PositionIDs = .sequential(),
    keys: PositionIDs = .sequential(), workspace: inout BiasWorkspace,
    weightsGradient: inout MutableSpan<Element>, into gradient: inout MutableSpan<Float>
  ) throws(EmbedError) {
    let written = unsafe weightsGradient.withUnsafeMutableBufferPointer { unsafe $0 }
    try unsafe runGradient(
      values, unsafe Elements(weights.withUnsafeBufferPointer { unsafe $0 }),
      unsafe Elements(outputGradient.withUnsafeBufferPointer { unsafe $0 }), shape, queries,
      keys, &workspace, unsafe Elements(UnsafeBufferPointer(written)),
      unsafe gradient.withUnsafeMutableBufferPointer { unsafe $0 })
  }

  @usableFromInline
  func runGradient(
    _ values: ShawValues, _ weights: Elements, _ outputGradient: Elements,
    _ shape: AttentionShape, _ queries: PositionIDs, _ keys: PositionIDs,
    _ workspace: inout BiasWorkspace, _ weightsGradient: Elements,
    _ gradient: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    let vectors = try workspace.vectors(outputGradient, nil, self)
    guard weightsGradient.count == weights.count else {
      throw .wrongElementCount(
        argument: "weights gradient", expected: weights.count, shape: shape.dimensions,
        actual: weightsGradient.count)
    }
    try unsafe values.keys.addGradient(
      self, weights, shape, queries, keys, [], vectors, AttentionGradients(), &workspace,
      into: gradient)
    try add(values.keys, weightsGradient, shape, queries, keys, [], vectors)
  }
}
