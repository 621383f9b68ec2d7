// The layer's backward and step.

public import EmbedKernel

extension EmbeddingBag {
  /// An empty gradient of the table.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public func makeGradient(capacity: Int = 0) throws(EmbedError) -> RowSparseGradient {
    try RowSparseGradient(rows: vocabulary, dim: dim, capacity: capacity)
  }

  /// Computes the table's gradient, as `Kernels.bagBackward` says.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[bags, dim]`.
  ///   - ids: As given to `forward`, and so bags and weights.
  ///   - winners: Of a maximum, as its forward gave them.
  ///   - tokens: Where it goes: a row-sparse gradient, or a dense buffer.
  ///   - workspace: Memory that calls reuse.
  /// - Throws: `EmbedError`, before anything is written. Allocates only for a call larger than any before.
  @inlinable
  public func backward<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Weights: ReadableElements<Float> & ~Copyable & ~Escapable,
    Winners: ReadableElements<Int32> & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs, in bags: borrowing Bags,
    weights: borrowing Weights = Optional<[Float]>.none,
    winners: borrowing Winners = Optional<[Int32]>.none, tokens: borrowing GradientTarget,
    gradientScale: Float = 1, frequencyScaling: FrequencyScaling = .none,
    summation: Summation = .chunked, using kernels: Kernels = .auto, workspace: inout BagWorkspace
  ) throws(EmbedError) where IDs.Element: TokenID {
    try kernels.bagBackward(
      outputGradient, ids: ids, in: bags, weights: weights, winners: winners, rows: vocabulary,
      dim: dim, pool: pool, options: options, gradientScale: gradientScale,
      frequencyScaling: frequencyScaling, summation: summation, tokens: tokens,
      workspace: &workspace)
  }

  /// Computes the gradient of a sum's weights, as `Kernels.bagWeightGradient` says.
  ///
  /// - Parameter weightGradient: A number an id.
  /// - Throws: `EmbedError`, before anything is written; `unsupported` for another pool. Allocates nothing.
  @inlinable
  public func weightGradient<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs, in bags: borrowing Bags,
    into weightGradient: inout Output, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe weightGradient.withMutableElements { (output) throws(EmbedError) in
          try unsafe self.weightGradient(
            outputGradient, BagInput(TokenIDs(ids), nil, pool, options), bags, output, kernels)
        }
      }
    }
  }

  @usableFromInline
  func weightGradient(
    _ gradient: UnsafeBufferPointer<Float>, _ input: BagInput, _ bags: borrowing Bags,
    _ output: UnsafeMutableBufferPointer<Float>, _ kernels: Kernels
  ) throws(EmbedError) {
    guard pool == .sum else {
      throw .unsupported(
        argument: "weight gradient", value: "of a \(pool.rawValue)", expected: "that of a sum")
    }
    switch table {
    case .float32(let table):
      try unsafe kernels.bagWeightGradient(gradient, input, bags, table, output)
    case .float16(let table):
      try unsafe kernels.bagWeightGradient(gradient, input, bags, table, output)
    case .bfloat16(let table):
      try unsafe kernels.bagWeightGradient(gradient, input, bags, table, output)
    case .rows(let table):
      try unsafe kernels.bagWeightGradient(gradient, input, bags, table, output)
    }
  }

  /// Steps the table by the output's gradient in one pass, as `TableOptimizer.step(bagGradient:)` says.
  ///
  /// - Parameters:
  ///   - optimizer: Of this table; make it with the padding id as its frozen row.
  ///   - outputGradient: Shape `[bags, dim]`; the other arguments are those of `backward`.
  /// - Throws: `EmbedError`, before anything is written; `unsupported` for another table's optimiser.
  @inlinable
  public func step<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Weights: ReadableElements<Float> & ~Copyable & ~Escapable,
    Winners: ReadableElements<Int32> & ~Copyable & ~Escapable
  >(
    _ optimizer: TableOptimizer, outputGradient: borrowing Gradient, ids: borrowing IDs,
    in bags: borrowing Bags, weights: borrowing Weights = Optional<[Float]>.none,
    winners: borrowing Winners = Optional<[Int32]>.none, scale: Float = 1,
    frequencyScaling: FrequencyScaling = .none, using kernels: Kernels = .auto,
    workspace: inout BagWorkspace
  ) throws(EmbedError) where IDs.Element: TokenID {
    try check(optimizer)
    try optimizer.step(
      bagGradient: outputGradient, ids: ids, in: bags, weights: weights, winners: winners,
      pool: pool, options: options, scale: scale, frequencyScaling: frequencyScaling,
      using: kernels, workspace: &workspace)
  }

  @usableFromInline
  func check(_ optimizer: TableOptimizer) throws(EmbedError) {
    let isOwn =
      switch table {
      case .float32(let table): optimizer.table === table && optimizer.roundedType == nil
      case .bfloat16(let table): optimizer.rounded(BFloat16.self) === table
      case .float16(let table): optimizer.rounded(Half.self) === table
      case .rows: false
      }
    guard isOwn else {
      throw .unsupported(
        argument: "optimizer", value: "of another table", expected: "one of the layer's table")
    }
  }
}
