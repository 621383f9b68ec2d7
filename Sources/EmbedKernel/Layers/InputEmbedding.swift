// A language model's first layer: token rows, scaled, plus position rows.
//
// B batch, T context, N = B*T tokens, V vocabulary, D dim.

/// Token embedding and absolute positions, composed.
///
/// Any number of threads may call `forward` at once; the layer keeps no state between calls.
public final class InputEmbedding: Sendable {
  /// The token table.
  public let tokens: TokenEmbedding

  /// The position table `[maximum, dim]`, or nil where no positions are added.
  public let positions: EmbeddingTable<Float>?

  /// Whether training moves the position table.
  public let positionsAreTrained: Bool

  /// Scale, and what happens outside the tables.
  public let options: EmbedOptions

  /// The longest context, or nil where any is possible.
  public var maximumContext: Int? { positions?.rows }

  /// Allocates and draws a new layer.
  ///
  /// - Parameters:
  ///   - positions: `.learned(maximum:)`, `.sinusoidal(maximum:)` or `.none`.
  ///   - scale: What multiplies token rows before positions are added.
  ///   - paddingID: An id whose row is zero and never trained.
  ///   - unknownIDs: What to do with ids outside the vocabulary.
  ///   - initialization: How the token table is drawn.
  ///   - seed: The same seed gives the same bits for every thread count.
  /// - Throws: `EmbedError` for sizes and numbers outside their ranges, or where memory ends.
  public convenience init(
    vocabulary: Int, dim: Int, positions: AbsolutePositions = .none,
    scale: EmbeddingScale = .one, paddingID: Int? = nil, unknownIDs: UnknownIDs = .error,
    initialization: Initialization = .normal(sigma: 0.02), seed: UInt64 = 0
  ) throws(EmbedError) {
    let tokens = try TokenEmbedding(
      vocabulary: vocabulary, dim: dim, paddingID: paddingID, initialization: initialization,
      seed: seed)
    try self.init(
      tokens: tokens, positions: try positions.makeTable(dim, seed),
      positionsAreTrained: positions.isTrained, scale: scale, unknownIDs: unknownIDs,
      positionOverflow: positions.overflow)
  }

  /// Composes tables that are already filled, and shares them.
  ///
  /// - Throws: `invalidSize` where the position table has another dim.
  public init(
    tokens: TokenEmbedding, positions: EmbeddingTable<Float>?, positionsAreTrained: Bool = true,
    scale: EmbeddingScale = .one, unknownIDs: UnknownIDs = .error,
    positionOverflow: PositionOverflow = .error
  ) throws(EmbedError) {
    if let positions, positions.dim != tokens.dim {
      throw .invalidSize(
        argument: "dim of the position table", value: positions.dim,
        expected: "the token table's, \(tokens.dim)")
    }
    self.tokens = tokens
    self.positions = positions
    self.positionsAreTrained = positionsAreTrained && positions != nil
    options = EmbedOptions(
      scale: scale.factor(dim: tokens.dim), unknownIDs: unknownIDs,
      positionOverflow: positionOverflow)
  }

  /// The tables of a layer that has checked them.
  init(of layer: FusedInputEmbedding<Float>) {
    tokens = TokenEmbedding(checked: layer.tokens, paddingID: layer.paddingID)
    positions = layer.positions
    positionsAreTrained = layer.positionsAreTrained
    options = layer.options
  }

  /// Computes the input embeddings of a batch.
  ///
  ///     output[b, t, :] = scale * tokens[ids[b, t], :] + positions[place(b, t), :]
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - place: Where each token stands; by default at its column.
  ///   - output: Shape `[batch, context, dim]`.
  ///   - kernels: The backend and threads; by default what suits the shape.
  /// - Throws: `EmbedError`, before anything is written. Allocates nothing.
  @inlinable
  public func forward<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ ids: borrowing IDs, batch: Int, context: Int, at place: PositionIDs = .sequential(),
    into output: inout Output, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe forward(
          TokenIDs(ids), shape(batch: batch, context: context), place, output, kernels)
      }
    }
  }

  @usableFromInline
  func forward(
    _ ids: TokenIDs, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ output: UnsafeMutableBufferPointer<Float>, _ kernels: Kernels
  ) throws(EmbedError) {
    try bringUp(ids, shape, place, kernels)
    try unsafe kernels.embed(
      ids, tokens.table.elements, positions?.elements, shape, place, options,
      Elements(UnsafeBufferPointer(output)))
  }

  /// Brings the rows that a batch reads up to date, where an optimiser leaves rows behind.
  @inline(__always)
  func bringUp(
    _ ids: TokenIDs, _ shape: EmbeddingShape, _ place: PositionIDs, _ kernels: Kernels
  ) throws(EmbedError) {
    tokens.table.bringUp(.ids(ids, outside: options.unknownIDs), kernels)
    try positions?.bringUp(place, shape, kernels)
  }

  /// The sizes of a call.
  public func shape(batch: Int, context: Int) -> EmbeddingShape {
    EmbeddingShape(
      vocabulary: tokens.vocabulary, batch: batch, context: context, dim: tokens.dim)
  }

  /// Allocates an output `[batch, context, dim]`.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public func makeOutput(batch: Int, context: Int) throws(EmbedError) -> AlignedBuffer<Float> {
    try AlignedBuffer(count: elementCount("output", batch, context, tokens.dim))
  }
}

/// What multiplies token rows before positions are added.
public enum EmbeddingScale: Hashable, Sendable {
  /// Nothing, as in GPT-2.
  case one
  /// The square root of the dim, as in the Transformer and Gemma; rounded to Float once.
  case sqrtDim
  /// Any finite number.
  case value(Float)

  /// The factor for vectors of `dim` floats.
  public func factor(dim: Int) -> Float {
    switch self {
    case .one: 1
    case .sqrtDim: Float(Double(dim).squareRoot())
    case .value(let value): value
    }
  }
}
