// The entrance: token rows gathered and positions added, from tables of floats or of 16-bit elements
// into outputs of either.

extension Kernels {
  /// Adds to each token's row the row of its position.
  ///
  ///     for b in 0..<batch, t in 0..<context:
  ///       output[b, t, :] = round(scale * tokens[ids[b, t], :] + positions[place(b, t), :])
  ///
  /// 16-bit elements are widened to floats, which is exact, multiplied and added as floats, and
  /// rounded once to the output's type, to nearest even. Bit for bit the same for every backend and
  /// number of threads.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`; `Int32`, `Int64` or `Int`.
  ///   - tokens: Token table, shape `[vocabulary, dim]`; `Float`, `BFloat16` or `Half`.
  ///   - positions: Position table of the same type, shape `[maximum, dim]`; nil adds none.
  ///   - shape: The four sizes.
  ///   - place: Where each token stands; by default at its column.
  ///   - options: Scale, and what to do outside the tables.
  ///   - output: Shape `[batch, context, dim]`; shares no memory with the inputs.
  /// - Throws: `EmbedError`, before anything is written.
  /// - Complexity: O(N·D) for N tokens. Memory traffic: as many bytes read as the tokens' rows have, the
  ///   output's written, and the position rows once. Allocates nothing.
  @inlinable
  public func embed<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Tokens: ReadableElements & ~Copyable & ~Escapable,
    Positions: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    ids: borrowing IDs, tokens: borrowing Tokens, positions: borrowing Positions,
    shape: EmbeddingShape, at place: PositionIDs = .sequential(),
    options: EmbedOptions = EmbedOptions(), into output: inout Output
  ) throws(EmbedError)
  where
    IDs.Element: TokenID, Tokens.Element: TableElement, Positions.Element == Tokens.Element,
    Output.Element: TableElement
  {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe tokens.withElements { (tokens) throws(EmbedError) in
          try unsafe positions.withElements { (positions) throws(EmbedError) in
            try unsafe embed(
              TokenIDs(ids), Elements(tokens), Elements(positions), shape, place, options,
              Elements(UnsafeBufferPointer(output)))
          }
        }
      }
    }
  }

  /// The same with positions that there may be.
  @inlinable
  public func embed<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Tokens: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    ids: borrowing IDs, tokens: borrowing Tokens, positions: Span<Tokens.Element>?,
    shape: EmbeddingShape, at place: PositionIDs = .sequential(),
    options: EmbedOptions = EmbedOptions(), into output: inout Output
  ) throws(EmbedError)
  where IDs.Element: TokenID, Tokens.Element: TableElement, Output.Element: TableElement {
    // A span's memory outlives the call that borrows it.
    var rows: Elements?
    if let positions { rows = unsafe Elements(positions.withUnsafeBufferPointer { unsafe $0 }) }
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe tokens.withElements { (tokens) throws(EmbedError) in
          try unsafe embed(
            TokenIDs(ids), Elements(tokens), rows, shape, place, options,
            Elements(UnsafeBufferPointer(output)))
        }
      }
    }
  }

  @usableFromInline
  package func embed(
    _ ids: TokenIDs, _ tokens: Elements, _ positions: Elements?, _ shape: EmbeddingShape,
    _ place: PositionIDs, _ options: EmbedOptions, _ output: Elements
  ) throws(EmbedError) {
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      try run(
        EmbedCall(
          shape: shape, ids: ids, tokens: tokens, positions: positions, place: place,
          places: places, options: options, output: output))
    }
  }

  @inline(__always)
  private func run(_ call: EmbedCall) throws(EmbedError) {
    let plan = try plan(call)
    if call.outputBytes == 0 {
      return
    } else if !call.isRegular {
      call.embedRowByRow(threads: plan.threads)
    } else if call.isFloat {
      plan.backend.kernels.embed(call, plan)
    } else {
      // Conversions are C's, by the portable set for other backends than `native`.
      NativeKernels.embed(call, plan)
    }
  }

  @inline(__always)
  private func plan(_ call: EmbedCall) throws(EmbedError) -> Plan {
    if call.isFloat { return try Plan(forward: call.shape, self) }
    // The limits are in bytes: plan as for as many bytes of floats.
    var floats = call.shape
    floats.dim = (call.dim * call.written.byteCount + 3) / 4
    // Conversions are arithmetic, for which the widest vectors are best in cache too.
    var kernels = self
    var limits = limits
    limits.avx2Dim = .max
    kernels.tuning = limits
    return try Plan(kernels, floats)
  }
}
