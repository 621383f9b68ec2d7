// The forward pass of a training step: rows that are behind are caught up on their way to the output.
//
// B batch, T context, N = B*T tokens, D dim.

extension Optimizer {
  /// Prepares a batch and computes its input embeddings; the bits are those of `prepare`, then the
  /// layer's `forward`.
  ///
  /// Where rows may be behind, one pass brings them up to date and passes them on to the output.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - place: Where each token stands.
  ///   - output: Shape `[batch, context, dim]`.
  /// - Throws: As `prepare` and `forward`, before the output is written.
  /// - Complexity: O(N·D). Allocates only for a batch larger than any before.
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
          TokenIDs(ids), layer.shape(batch: batch, context: context), place, output, kernels)
      }
    }
  }

  @usableFromInline
  func forward(
    _ ids: TokenIDs, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ output: UnsafeMutableBufferPointer<Float>, _ kernels: Kernels
  ) throws(EmbedError) {
    if try unsafe !read(ids, shape, place, output, kernels) {
      try unsafe layer.forward(ids, shape, place, output, kernels)
    }
  }

  /// Prepares a batch, and passes its rows on to the output where one pass can do both; whether it did.
  private func read(
    _ ids: TokenIDs, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ output: UnsafeMutableBufferPointer<Float>, _ kernels: Kernels
  ) throws(EmbedError) -> Bool {
    guard tokens.catchesUp else {
      try prepare(ids, shape, place, kernels)
      return false
    }
    let count = try group(ids, shape, place, kernels)
    guard let reading = unsafe reading(ids, shape, place, output) else {
      try tokens.prepare(workspace.tokens, using: kernels)
      try positions?.prepare(workspace.positions, using: kernels)
      preparedTokens = count
      return false
    }
    try positions?.prepare(workspace.positions, using: kernels)
    try tokens.read(workspace.tokens.unsafeView, reading, kernels)
    preparedTokens = count
    return true
  }

  /// Where the grouped batch's rows go; nil for a call that the layer checks and computes itself.
  private func reading(
    _ ids: TokenIDs, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ output: UnsafeMutableBufferPointer<Float>
  ) -> RowReading? {
    guard let start = output.baseAddress, workspace.tokens.tokenCount == ids.count,
      output.count == ids.count * shape.dim, layer.tokens.table.ledgers.count == 1,
      layer.positions?.ledgers.count ?? 0 == (positions == nil ? 0 : 1)
    else { return nil }
    var row: UnsafePointer<Float>?
    if let table = layer.positions {
      guard case .sequential(let offset) = place.layout, offset >= 0,
        offset <= table.rows - shape.context, let base = unsafe table.memory.baseAddress
      else { return nil }
      unsafe row = UnsafePointer(base + offset * shape.dim)
    }
    let written = unsafe Memory(start, output.count * 4)
    let given = unsafe Memory(ids.base, ids.bytes)
    let isApart =
      !written.overlaps(given) && !written.overlaps(tokens.table)
      && !written.overlaps(layer.positions)
    guard isApart else { return nil }
    return unsafe RowReading(
      output: start, positions: row, context: shape.context, scale: layer.options.scale)
  }
}

extension Memory {
  fileprivate func overlaps(_ table: EmbeddingTable<Float>?) -> Bool {
    guard let table else { return false }
    return unsafe overlaps(Memory(table.memory.baseAddress, table.memory.count * 4))
  }
}
