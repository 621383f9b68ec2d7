// The backward entrance: output gradients in, gradients of the token and position tables out.
//
// B batch, T context, N = B*T tokens, V vocabulary, D dim.

extension Kernels {
  /// Computes the gradients of `embed`'s tables from that of its output.
  ///
  ///     for n in 0..<N where ids[n] != paddingID:
  ///       tokens[ids[n], :] += gradientScale * scale * outputGradient[n, :]
  ///     for n in 0..<N:
  ///       positions[place(n), :] += gradientScale * outputGradient[n, :]
  ///
  /// A row's gradients are summed first, in the order that `options.summation` names, then
  /// multiplied by its factor (divided by the number of occurrences with
  /// `frequencyScaling: .inverse`), then written or added. The result is bit for bit the same for
  /// every number of threads and every run, and for every backend except that `openBLAS` sums
  /// sequential positions by `cblas_sgemv`, within 2 (B - 1) u S of the others (u = 2^-24, S the sum
  /// of absolute values).
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, context, dim]`.
  ///   - ids: Shape `[batch, context]`, as given to `embed`.
  ///   - shape: The four sizes.
  ///   - place: Where each token stands, as given to `embed`.
  ///   - options: As `embed`'s, and how to sum.
  ///   - tokens: Where the token table's gradient goes, `vocabulary` rows.
  ///   - positions: Where the position table's goes; its rows are the longest context.
  ///   - workspace: Memory that calls reuse.
  /// - Throws: `EmbedError`, before anything is written.
  /// - Complexity: O(N·D), and O(V·D) only where a dense target is overwritten. Memory traffic: the
  ///   output gradient once, again for tokens that occur more than once where there are positions,
  ///   and each touched row once. Allocates only for a batch larger than any before.
  @inlinable
  public func backward<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs, shape: EmbeddingShape,
    at place: PositionIDs = .sequential(), options: BackwardOptions = BackwardOptions(),
    tokens: borrowing GradientTarget, positions: borrowing GradientTarget,
    workspace: inout BackwardWorkspace
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe backward(
          outputGradient, TokenIDs(ids), shape, place, options, tokens, positions, &workspace)
      }
    }
  }

  /// The same into two row-sparse gradients.
  ///
  /// A `GradientTarget` lives as long as the access to the variable it names, which stored properties
  /// of one value or of a class do not allow side by side; arguments do.
  @inlinable
  public func backward<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs, shape: EmbeddingShape,
    at place: PositionIDs = .sequential(), options: BackwardOptions = BackwardOptions(),
    tokens: inout RowSparseGradient, positions: inout RowSparseGradient,
    workspace: inout BackwardWorkspace
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe backward(
          outputGradient, TokenIDs(ids), shape, place, options, &tokens, &positions, &workspace)
      }
    }
  }

  package func backward(
    _ outputGradient: UnsafeBufferPointer<Float>, _ ids: TokenIDs, _ shape: EmbeddingShape,
    _ options: BackwardOptions, _ tokens: inout RowSparseGradient,
    _ workspace: inout BackwardWorkspace
  ) throws(EmbedError) {
    try unsafe backward(
      outputGradient, ids, shape, .sequential(), options, .rowSparse(&tokens), .none, &workspace)
  }

  @usableFromInline
  func backward(
    _ outputGradient: UnsafeBufferPointer<Float>, _ ids: TokenIDs, _ shape: EmbeddingShape,
    _ place: PositionIDs, _ options: BackwardOptions, _ tokens: inout RowSparseGradient,
    _ positions: inout RowSparseGradient, _ workspace: inout BackwardWorkspace
  ) throws(EmbedError) {
    try unsafe backward(
      outputGradient, ids, shape, place, options, .rowSparse(&tokens), .rowSparse(&positions),
      &workspace)
  }

  @usableFromInline
  package func backward(
    _ outputGradient: UnsafeBufferPointer<Float>, _ ids: TokenIDs, _ shape: EmbeddingShape,
    _ place: PositionIDs, _ options: BackwardOptions, _ tokens: borrowing GradientTarget,
    _ positions: borrowing GradientTarget, _ workspace: inout BackwardWorkspace
  ) throws(EmbedError) {
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      let call = unsafe BackwardCall(
        outputGradient: outputGradient, ids: ids, shape: shape, places: places,
        options: options)
      try run(call, place, tokens, positions, &workspace)
    }
  }

  private func run(
    _ call: BackwardCall, _ place: PositionIDs, _ tokens: borrowing GradientTarget,
    _ positions: borrowing GradientTarget, _ workspace: inout BackwardWorkspace
  ) throws(EmbedError) {
    try call.check()
    let shape = call.shape
    _ = try call.rows(of: tokens, "token gradient", expected: shape.vocabulary)
    let maximum = try call.rows(of: positions, "position gradient", expected: nil)
    try GradientTarget.checkApart(tokens, positions)
    if positions.isSome,
      try !place.check(
        batch: shape.batch, context: shape.context, maximum: maximum)
    {
      guard call.options.positionOverflow == .clamp, maximum > 0 else {
        throw place.overflow(batch: shape.batch, context: shape.context, maximum: maximum)
      }
    }
    let n = call.tokenCount
    let plan = try Plan(self, outputBytes: n * shape.dim * 4, rows: n, dim: shape.dim)

    if tokens.isSome {
      let choice = RowOfID(
        rows: shape.vocabulary, paddingID: call.options.paddingID,
        unknownIDs: call.options.unknownIDs)
      try workspace.tokens.group(call.ids, choice, threads: plan.threads)
    }
    if positions.isSome {
      try workspace.groupPositions(
        call.places, batch: shape.batch, context: shape.context, maximum: maximum,
        threads: plan.threads)
    }
    try workspace.findHeavyRows(
      dim: shape.dim, tokens: tokens.isSome, positions: positions.isSome,
      compensated: call.options.summation == .compensated)
    let fuses = tokens.isSome && positions.isSome && call.options.summation == .chunked
    if fuses { try workspace.reserveDestinations(n) }

    let factor = call.options.scale * call.options.gradientScale
    let streams = plan.traffic.streaming
    var call = call
    unsafe call.destinations = fuses ? workspace.destinationMemory : nil
    call.tokens = try tokens.table(
      workspace.tokens.unsafeView, workspace.heavyTokenView, dim: shape.dim, factor: factor,
      streams: streams)
    call.tokens?.dividesByCount = call.options.frequencyScaling == .inverse
    call.positions = try positions.table(
      workspace.positions.unsafeView, workspace.heavyPositionView, dim: shape.dim,
      factor: call.options.gradientScale, streams: false)
    call.positions?.indexStep = workspace.positionStep
    plan.backend.kernels.backward(call, plan)
  }

  /// target[rowIDs[g], :] += factors[k] * rows[members[k], :] for the members k of each group g, such as
  /// bags whose ids read a row. `workspace` has made the groups, of other members.
  package func backward(
    _ rows: UnsafeBufferPointer<Float>, _ groups: RowGroupView, factors: UnsafePointer<Float>?,
    ids: TokenIDs, _ shape: EmbeddingShape, _ options: BackwardOptions, _ plan: Plan,
    _ target: borrowing GradientTarget, _ workspace: inout BackwardWorkspace
  ) throws(EmbedError) {
    var call = unsafe BackwardCall(
      outputGradient: rows, ids: ids, shape: shape, places: .sequential(offset: 0),
      options: options, factors: factors)
    _ = try call.rows(of: target, "token gradient", expected: shape.vocabulary)
    try workspace.findHeavyRows(
      dim: shape.dim, tokens: true, positions: false,
      compensated: options.summation == .compensated)
    call.tokens = try target.table(
      groups, workspace.heavyTokenView, dim: shape.dim, factor: options.gradientScale,
      streams: plan.traffic.streaming)
    call.tokens?.dividesByCount = options.frequencyScaling == .inverse
    plan.backend.kernels.backward(call, plan)
  }
}
