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
/// Any number of threads may call `forward` at once; the layer keeps no state between calls.
public final class FusedInputEmbedding: Sendable {
  /// Tokens, positions and scale.
  public let embedding: InputEmbedding

  /// The segment table `[segments, dim]`, or nil where no segments are added.
  public let segments: EmbeddingTable<Float>?

  /// What the sum is normalised by, or nil for nothing.
  public let normalization: Normalization?

  /// What is dropped in training, or nil for nothing.
  public let dropout: Dropout?

  /// The number of floats of a row.
  public var dim: Int { embedding.tokens.dim }

  /// Composes parts, and shares them.
  ///
  /// - Throws: `invalidSize` for a part of another dim than the token table's.
  public init(
    _ embedding: InputEmbedding, segments: EmbeddingTable<Float>? = nil,
    normalization: Normalization? = nil, dropout: Dropout? = nil
  ) throws(EmbedError) {
    let dim = embedding.tokens.dim
    if let segments, segments.dim != dim {
      throw .invalidSize(
        argument: "dim of the segment table", value: segments.dim,
        expected: "the token table's, \(dim)")
    }
    if let normalization, normalization.dim != dim {
      throw .invalidSize(
        argument: "dim of the normalisation", value: normalization.dim,
        expected: "the token table's, \(dim)")
    }
    self.embedding = embedding
    self.segments = segments
    self.normalization = normalization
    self.dropout = dropout
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
  /// - Throws: `EmbedError`, before anything is written. Allocates nothing.
  @inlinable
  public func forward<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Segments: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ ids: borrowing IDs, segmentIDs: borrowing Segments = Optional<[Int32]>.none,
    batch: Int, context: Int,
    at place: PositionIDs = .sequential(), trainingStep: UInt64? = nil,
    into output: inout Output, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID, Segments.Element: TokenID {
    try unsafe ids.withElements { (ids) throws(EmbedError) in
      try unsafe segmentIDs.withElements { (segments) throws(EmbedError) in
        try unsafe output.withMutableElements { (output) throws(EmbedError) in
          try unsafe forward(
            TokenIDs(ids), segmentIDs.isAbsent ? nil : TokenIDs(segments),
            embedding.shape(batch: batch, context: context),
            place, trainingStep, output, kernels)
        }
      }
    }
  }

  /// Allocates an output `[batch, context, dim]`.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public func makeOutput(batch: Int, context: Int) throws(EmbedError) -> AlignedBuffer<Float> {
    try embedding.makeOutput(batch: batch, context: context)
  }

  @usableFromInline
  package func forward(
    _ ids: TokenIDs, _ segmentIDs: TokenIDs?, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ step: UInt64?, _ output: UnsafeMutableBufferPointer<Float>, _ kernels: Kernels
  ) throws(EmbedError) {
    try bringUp(ids, segmentIDs, shape, place, kernels)
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      try kernels.normalize(
        unsafe call(ids, segmentIDs, shape, place, places, step, output))
    }
  }

  /// Brings the rows that a batch reads up to date, where an optimiser leaves rows behind.
  @inline(__always)
  func bringUp(
    _ ids: TokenIDs, _ segmentIDs: TokenIDs?, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ kernels: Kernels
  ) throws(EmbedError) {
    try embedding.bringUp(ids, shape, place, kernels)
    segments?.bringUp(segmentIDs.map { .ids($0) } ?? .row(0), kernels)
  }

  /// Checks a call, of which the rows are up to date.
  @inline(__always)
  func call(
    _ ids: TokenIDs, _ segmentIDs: TokenIDs?, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ places: Places, _ step: UInt64?, _ output: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) -> NormalizeCall {
    try unsafe NormalizeCall(
      rows: EmbedCall(
        shape: shape, ids: ids, tokens: embedding.tokens.table.elements,
        positions: embedding.positions?.elements, place: place, places: places,
        options: embedding.options, output: Elements(UnsafeBufferPointer(output))),
      segments: segments.map { unsafe UnsafeBufferPointer($0.memory) },
      segmentIDs: segmentIDs, norm: NormParameters(normalization), dropout: mask(step))
  }

  private func mask(_ step: UInt64?) -> DropoutMask {
    guard let step, let dropout else { return .none }
    return dropout.mask(step: step)
  }
}
