// The input layer's backward: gradients of its tables from that of its output.
//
// B batch, T context, D dim.

extension InputEmbedding {
  /// Gradients for this layer's tables, with room for batches of `capacity` tokens.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public func makeGradient(capacity: Int = 0) throws(EmbedError) -> InputGradient {
    try InputGradient(
      vocabulary: tokens.vocabulary, maximumContext: positions?.rows ?? 1, dim: tokens.dim,
      capacity: capacity)
  }

  /// Computes the gradients of a batch; they replace what `gradient` holds.
  ///
  ///     for b in 0..<batch, t in 0..<context where ids[b, t] != paddingID:
  ///       gradient.tokens[ids[b, t], :] += scale * outputGradient[b, t, :]
  ///     for b in 0..<batch, t in 0..<context:
  ///       gradient.positions[place(b, t), :] += outputGradient[b, t, :]
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, context, dim]`.
  ///   - ids: Shape `[batch, context]`, as given to `forward`.
  ///   - place: Where each token stands, as given to `forward`.
  ///   - gradientScale: Multiplies both gradients.
  ///   - frequencyScaling: Whether a token's gradient is divided by its number in the batch.
  ///   - summation: In what order gradients of a row are summed.
  ///   - kernels: The backend and threads; by default what suits the shape.
  /// - Throws: `EmbedError`, before anything is written. Allocates only for a batch larger than any
  ///   before; the same bits for every number of threads, as `Kernels.backward` says.
  @inlinable
  public func backward<ID: TokenID>(
    _ outputGradient: Span<Float>, ids: Span<ID>, batch: Int, context: Int,
    at place: PositionIDs = .sequential(), into gradient: inout InputGradient,
    gradientScale: Float = 1, frequencyScaling: FrequencyScaling = .none,
    summation: Summation = .chunked, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe backward(
      outputGradient.withUnsafeBufferPointer { unsafe $0 },
      ids: ids.withUnsafeBufferPointer { unsafe $0 }, batch: batch, context: context, at: place,
      into: &gradient, gradientScale: gradientScale, frequencyScaling: frequencyScaling,
      summation: summation, using: kernels)
  }

  /// The same on buffer pointers.
  @inlinable
  public func backward<ID: TokenID>(
    _ outputGradient: UnsafeBufferPointer<Float>, ids: UnsafeBufferPointer<ID>, batch: Int,
    context: Int, at place: PositionIDs = .sequential(), into gradient: inout InputGradient,
    gradientScale: Float = 1, frequencyScaling: FrequencyScaling = .none,
    summation: Summation = .chunked, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    let shape = shape(batch: batch, context: context)
    let options = backwardOptions(gradientScale, frequencyScaling, summation)
    if positionsAreTrained {
      try unsafe kernels.backward(
        outputGradient, ids: ids, shape: shape, at: place, options: options,
        tokens: &gradient.tokens, positions: &gradient.positions,
        workspace: &gradient.workspace)
    } else {
      try unsafe kernels.backward(
        outputGradient, ids: ids, shape: shape, options: options, tokens: &gradient.tokens,
        workspace: &gradient.workspace)
      gradient.positions.removeAll()
    }
  }

  /// The same into new gradients, which it allocates.
  public func backward<ID: TokenID>(
    _ outputGradient: Span<Float>, ids: Span<ID>, batch: Int, context: Int,
    at place: PositionIDs = .sequential(), using kernels: Kernels = .auto
  ) throws(EmbedError) -> InputGradient {
    var gradient = try makeGradient(capacity: ids.count)
    try backward(
      outputGradient, ids: ids, batch: batch, context: context, at: place, into: &gradient,
      using: kernels)
    return gradient
  }

  /// The options of a backward call that belongs to this layer's forward.
  @usableFromInline
  func backwardOptions(
    _ gradientScale: Float, _ frequencyScaling: FrequencyScaling, _ summation: Summation
  ) -> BackwardOptions {
    BackwardOptions(
      scale: options.scale, gradientScale: gradientScale, paddingID: tokens.paddingID,
      frequencyScaling: frequencyScaling, summation: summation, unknownIDs: options.unknownIDs,
      positionOverflow: options.positionOverflow)
  }
}
