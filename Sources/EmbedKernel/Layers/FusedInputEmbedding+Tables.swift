// The fused layer's backward all the way to what optimisers take: row-sparse gradients of the token
// and position tables, and those of the parameters that all rows share.
//
// d(x) of the batch goes through the memory of the layer's gradient, which is kept.

extension FusedInputEmbedding {
  /// Gradients for the token and position tables, with room for batches of `capacity` tokens.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public func makeTableGradient(capacity: Int = 0) throws(EmbedError) -> InputGradient {
    try InputGradient(
      vocabulary: tokens.rows, maximumContext: positions?.rows ?? 1, dim: dim, capacity: capacity)
  }

  /// Computes the gradients of everything that the layer trains.
  ///
  ///     x' = backward(outputGradient), as the other form of this function says
  ///     for n in 0..<N where ids[n] != paddingID: tables.tokens[ids[n], :] += scale * x'[n, :]
  ///     for n in 0..<N: tables.positions[place(n), :] += x'[n, :]
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, context, dim]`.
  ///   - ids: Shape `[batch, context]`, as given to `forward`; so are the other arguments.
  ///   - gradient: Rows are overwritten; gamma, beta and segments accumulate.
  ///   - tables: The token and position tables' gradients, which are replaced.
  ///   - frequencyScaling: Whether a token's gradient is divided by its number in the batch.
  ///   - summation: In what order gradients of a row are summed.
  /// - Throws: `EmbedError`, before anything is written; only `outOfMemory` may come later, with
  ///   `gradient` written. Allocates only for a batch larger than any before. The same bits for
  ///   every number of threads, as `Kernels.backward` says.
  /// - Complexity: O(N·D). Memory traffic: 20·N·D bytes with uniform ids.
  @inlinable
  public func backward<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Segments: ReadableElements & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs,
    segmentIDs: borrowing Segments = Optional<[Int32]>.none,
    batch: Int, context: Int, at place: PositionIDs = .sequential(), trainingStep: UInt64? = nil,
    into gradient: inout FusedEmbeddingGradient, tables: inout InputGradient,
    frequencyScaling: FrequencyScaling = .none, summation: Summation = .chunked,
    using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID, Segments.Element: TokenID {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe segmentIDs.withElements { (segments) throws(EmbedError) in
          try unsafe backward(
            outputGradient, TokenIDs(ids), segmentIDs.isAbsent ? nil : TokenIDs(segments),
            shape(batch: batch, context: context), place, trainingStep, &gradient, &tables,
            frequencyScaling, summation, kernels)
        }
      }
    }
  }

  @usableFromInline
  package func backward(
    _ outputGradient: UnsafeBufferPointer<Float>, _ ids: TokenIDs, _ segmentIDs: TokenIDs?,
    _ shape: EmbeddingShape, _ place: PositionIDs, _ step: UInt64?,
    _ gradient: inout FusedEmbeddingGradient, _ tables: inout InputGradient,
    _ frequencyScaling: FrequencyScaling, _ summation: Summation, _ kernels: Kernels
  ) throws(EmbedError) {
    try checkSizes(of: tables)
    try unsafe backward(outputGradient, ids, segmentIDs, shape, place, step, &gradient, kernels)
    let rows = gradient.rows
    let options = BackwardOptions(
      self.options, 1, paddingID: paddingID, frequencyScaling, summation)
    try unsafe kernels.backward(
      rows.withUnsafeBufferPointer { unsafe $0 }, ids, shape, place, options, &tables,
      positions: positionsAreTrained)
  }

  /// Checks that `gradient` belongs to tables of these sizes.
  private func checkSizes(of gradient: borrowing InputGradient) throws(EmbedError) {
    func check(
      _ name: String, _ part: borrowing RowSparseGradient, rows: Int
    ) throws(EmbedError) {
      guard part.dim == dim else {
        throw .invalidSize(
          argument: "dim of the \(name)", value: part.dim, expected: "the output's, \(dim)")
      }
      guard part.rows == rows else {
        throw .invalidSize(argument: "rows of the \(name)", value: part.rows, expected: "\(rows)")
      }
    }
    try check("token gradient", gradient.tokens, rows: tokens.rows)
    if positionsAreTrained, let positions {
      try check("position gradient", gradient.positions, rows: positions.rows)
    }
  }
}
