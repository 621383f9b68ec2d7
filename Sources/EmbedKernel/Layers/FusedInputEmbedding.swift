// BERT's input layer and its relatives: token, position and segment rows, summed, normalised and
// dropped from, in one pass over each row.
//
// B batch, T context, N = B*T tokens, D dim, S segments.

/// Token, position and segment embedding with normalisation and dropout, fused.
///
///     x = scale * tokens[ids[b, t], :] + positions[place(b, t), :] + segments[segmentIDs[b, t], :]
///     output[b, t, :] = dropout(normalization(x))
///
/// Segments are BERT's token types. Each part but the tokens may be absent. Memory traffic is that
/// of a plain forward. Row statistics are sums of 32 interleaved lanes in fp32 in two passes, the
/// mean first: all backends, instruction sets and thread counts give the same bits.
///
/// Tables may be of 16-bit elements, and so may outputs: elements are widened to floats, which is exact,
/// computed with as floats and rounded once. Normalisations and gradients are of floats.
///
/// Any number of threads may call `forward` at once; the layer keeps no state between calls.
public final class FusedInputEmbedding<Element: TableElement>: Sendable {
  /// The token table `[vocabulary, dim]`.
  public let tokens: EmbeddingTable<Element>

  /// The position table `[maximum, dim]`, or nil where no positions are added.
  public let positions: EmbeddingTable<Element>?

  /// The segment table `[segments, dim]`, or nil where no segments are added.
  public let segments: EmbeddingTable<Element>?

  /// Scale, and what happens outside the tables.
  public let options: EmbedOptions

  /// The id of padding, whose row has no gradient.
  public let paddingID: Int?

  /// Whether training moves the position table.
  public let positionsAreTrained: Bool

  /// What the sum is normalised by, or nil for nothing.
  public let normalization: Normalization?

  /// What is dropped in training, or nil for nothing.
  public let dropout: Dropout?

  /// The number of elements of a row.
  public var dim: Int { tokens.dim }

  /// Composes tables that are already filled, and shares them.
  ///
  /// - Throws: `invalidSize` for a part of another dim than the token table's, or a padding id outside it.
  public init(
    tokens: EmbeddingTable<Element>, positions: EmbeddingTable<Element>?,
    segments: EmbeddingTable<Element>? = nil, normalization: Normalization? = nil,
    dropout: Dropout? = nil, options: EmbedOptions = EmbedOptions(), paddingID: Int? = nil,
    positionsAreTrained: Bool = true
  ) throws(EmbedError) {
    let dims = [
      ("position table", positions?.dim), ("segment table", segments?.dim),
      ("normalisation", normalization?.dim),
    ]
    for case (let name, let dim?) in dims where dim != tokens.dim {
      throw .invalidSize(
        argument: "dim of the \(name)", value: dim, expected: "the token table's, \(tokens.dim)")
    }
    try tokens.checkPadding(paddingID)
    self.tokens = tokens
    self.positions = positions
    self.segments = segments
    self.normalization = normalization
    self.dropout = dropout
    self.options = options
    self.paddingID = paddingID
    self.positionsAreTrained = positionsAreTrained && positions != nil
  }

  /// Computes the input embeddings of a batch.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - segmentIDs: Shape `[batch, context]`; without, all tokens are of segment 0.
  ///   - place: Where each token stands; by default at its column.
  ///   - trainingStep: Which dropout mask to take; nil drops nothing, as in inference.
  ///   - output: Shape `[batch, context, dim]`; shares no memory with the inputs.
  ///   - kernels: The backend and threads; by default what suits the shape.
  /// - Throws: `EmbedError`, before anything is written. Allocates nothing, but the sums of a batch with
  ///   ids or positions outside the tables where the output is of 16-bit elements.
  @inlinable
  public func forward<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Segments: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    _ ids: borrowing IDs, segmentIDs: borrowing Segments = Optional<[Int32]>.none,
    batch: Int, context: Int,
    at place: PositionIDs = .sequential(), trainingStep: UInt64? = nil,
    into output: inout Output, using kernels: Kernels = .auto
  ) throws(EmbedError)
  where IDs.Element: TokenID, Segments.Element: TokenID, Output.Element: TableElement {
    try unsafe ids.withElements { (ids) throws(EmbedError) in
      try unsafe segmentIDs.withElements { (segments) throws(EmbedError) in
        try unsafe output.withMutableElements { (output) throws(EmbedError) in
          try unsafe forward(
            TokenIDs(ids), segmentIDs.isAbsent ? nil : TokenIDs(segments),
            shape(batch: batch, context: context),
            place, trainingStep, Elements(UnsafeBufferPointer(output)), kernels)
        }
      }
    }
  }

  /// The sizes of a call.
  public func shape(batch: Int, context: Int) -> EmbeddingShape {
    EmbeddingShape(vocabulary: tokens.rows, batch: batch, context: context, dim: dim)
  }

  /// Allocates an output `[batch, context, dim]`.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public func makeOutput(batch: Int, context: Int) throws(EmbedError) -> AlignedBuffer<Element> {
    try AlignedBuffer(count: elementCount("output", batch, context, dim))
  }

  @usableFromInline @_specialize(where Element == Float)
  package func forward(
    _ ids: TokenIDs, _ segmentIDs: TokenIDs?, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ step: UInt64?, _ output: Elements, _ kernels: Kernels
  ) throws(EmbedError) {
    try bringUp(ids, segmentIDs, shape, place, kernels)
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      try kernels.normalize(call(ids, segmentIDs, shape, place, places, step, output))
    }
  }

  /// Brings the rows that a batch reads up to date, where an optimiser leaves rows behind.
  @inline(__always)
  func bringUp(
    _ ids: TokenIDs, _ segmentIDs: TokenIDs?, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ kernels: Kernels
  ) throws(EmbedError) {
    tokens.bringUp(.ids(ids, outside: options.unknownIDs), kernels)
    try positions?.bringUp(place, shape, kernels)
    segments?.bringUp(segmentIDs.map { .ids($0) } ?? .row(0), kernels)
  }

  /// Checks a call, of which the rows are up to date.
  @inline(__always)
  func call(
    _ ids: TokenIDs, _ segmentIDs: TokenIDs?, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ places: Places, _ step: UInt64?, _ output: Elements
  ) throws(EmbedError) -> NormalizeCall {
    try NormalizeCall(
      rows: EmbedCall(
        shape: shape, ids: ids, tokens: tokens.elements, positions: positions?.elements,
        place: place, places: places, options: options, output: output),
      segments: segments?.elements, segmentIDs: segmentIDs, norm: NormParameters(normalization),
      dropout: mask(step))
  }

  private func mask(_ step: UInt64?) -> DropoutMask {
    guard let step, let dropout else { return .none }
    return dropout.mask(step: step)
  }
}

extension FusedInputEmbedding<Float> {
  /// Composes parts, and shares their tables.
  ///
  /// - Throws: `invalidSize` for a part of another dim than the token table's.
  public convenience init(
    _ embedding: InputEmbedding, segments: EmbeddingTable<Float>? = nil,
    normalization: Normalization? = nil, dropout: Dropout? = nil
  ) throws(EmbedError) {
    try self.init(
      tokens: embedding.tokens.table, positions: embedding.positions, segments: segments,
      normalization: normalization, dropout: dropout, options: embedding.options,
      paddingID: embedding.tokens.paddingID, positionsAreTrained: embedding.positionsAreTrained)
  }

  /// Tokens, positions and scale: a layer of the same tables.
  public var embedding: InputEmbedding { InputEmbedding(of: self) }
}
