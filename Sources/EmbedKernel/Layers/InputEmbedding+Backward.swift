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
  public func backward<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs, batch: Int, context: Int,
    at place: PositionIDs = .sequential(), into gradient: inout InputGradient,
    gradientScale: Float = 1, frequencyScaling: FrequencyScaling = .none,
    summation: Summation = .chunked, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe backward(
          outputGradient, TokenIDs(ids), shape(batch: batch, context: context), place,
          backwardOptions(gradientScale, frequencyScaling, summation), &gradient, kernels)
      }
    }
  }

  @usableFromInline
  func backward(
    _ outputGradient: UnsafeBufferPointer<Float>, _ ids: TokenIDs, _ shape: EmbeddingShape,
    _ place: PositionIDs, _ options: BackwardOptions, _ gradient: inout InputGradient,
    _ kernels: Kernels
  ) throws(EmbedError) {
    try unsafe kernels.backward(
      outputGradient, ids, shape, place, options, &gradient, positions: positionsAreTrained)
  }

  /// The same into new gradients, which it allocates.
  @inlinable
  public func backward<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs, batch: Int, context: Int,
    at place: PositionIDs = .sequential(), using kernels: Kernels = .auto
  ) throws(EmbedError) -> InputGradient where IDs.Element: TokenID {
    let capacity = unsafe ids.withElements { $0.count }
    var gradient = try makeGradient(capacity: capacity)
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
      options, gradientScale, paddingID: tokens.paddingID, frequencyScaling, summation)
  }
}

extension BackwardOptions {
  /// Those of a backward call that belongs to a forward of `options`.
  init(
    _ options: EmbedOptions, _ gradientScale: Float, paddingID: Int?,
    _ frequencyScaling: FrequencyScaling, _ summation: Summation
  ) {
    self.init(
      scale: options.scale, gradientScale: gradientScale, paddingID: paddingID,
      frequencyScaling: frequencyScaling, summation: summation, unknownIDs: options.unknownIDs,
      positionOverflow: options.positionOverflow)
  }
}

extension Kernels {
  /// Fills the gradients of an input layer's tables; lists no position unless `positions` are trained.
  func backward(
    _ outputGradient: UnsafeBufferPointer<Float>, _ ids: TokenIDs, _ shape: EmbeddingShape,
    _ place: PositionIDs, _ options: BackwardOptions, _ gradient: inout InputGradient,
    positions: Bool
  ) throws(EmbedError) {
    if positions {
      try unsafe backward(
        outputGradient, ids, shape, place, options, &gradient.tokens, &gradient.positions,
        &gradient.workspace)
    } else {
      try unsafe backward(
        outputGradient, ids, shape, options, &gradient.tokens, &gradient.workspace)
      gradient.positions.removeAll()
    }
  }
}
