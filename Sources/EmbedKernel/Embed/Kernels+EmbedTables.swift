// The entrance on tables themselves. Where an optimiser leaves rows of them behind, those that the batch
// reads are brought up to date, and no others; a table's span would bring up all.

extension Kernels {
  /// Adds to each token's row the row of its position, as
  /// ``embed(ids:tokens:positions:shape:at:options:into:)`` does, from tables.
  @inlinable
  public func embed<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    ids: borrowing IDs, tokens: EmbeddingTable, positions: EmbeddingTable?,
    shape: EmbeddingShape, at place: PositionIDs = .sequential(),
    options: EmbedOptions = EmbedOptions(), into output: inout Output
  ) throws(EmbedError) where IDs.Element: TokenID, Output.Element: TableElement {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe embed(
          TokenIDs(ids), tokens, positions, shape, place, options,
          TypedElements(UnsafeBufferPointer(output)))
      }
    }
  }

  /// The same from tables of two-byte elements.
  @inlinable
  public func embed<
    IDs: ReadableElements & ~Copyable & ~Escapable, Element: HalfPrecision,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    ids: borrowing IDs, tokens: HalfPrecisionTable<Element>,
    positions: HalfPrecisionTable<Element>?, shape: EmbeddingShape,
    at place: PositionIDs = .sequential(), options: EmbedOptions = EmbedOptions(),
    into output: inout Output
  ) throws(EmbedError) where IDs.Element: TokenID, Output.Element: TableElement {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe embed(
          TokenIDs(ids), tokens, positions, shape, place, options,
          TypedElements(UnsafeBufferPointer(output)))
      }
    }
  }

  @usableFromInline
  func embed(
    _ ids: TokenIDs, _ tokens: EmbeddingTable, _ positions: EmbeddingTable?,
    _ shape: EmbeddingShape, _ place: PositionIDs, _ options: EmbedOptions,
    _ output: TypedElements
  ) throws(EmbedError) {
    tokens.bringUp(.ids(ids), self)
    try positions?.bringUp(place, shape, self)
    try unsafe embed(
      ids, TypedElements(UnsafeBufferPointer(tokens.memory)),
      positions.map { unsafe TypedElements(UnsafeBufferPointer($0.memory)) }, shape, place, options,
      output)
  }

  @usableFromInline
  func embed<Element: HalfPrecision>(
    _ ids: TokenIDs, _ tokens: HalfPrecisionTable<Element>,
    _ positions: HalfPrecisionTable<Element>?, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ options: EmbedOptions, _ output: TypedElements
  ) throws(EmbedError) {
    tokens.bringUp(.ids(ids), self)
    try positions?.bringUp(place, shape, self)
    try unsafe embed(
      ids, TypedElements(UnsafeBufferPointer(tokens.memory)),
      positions.map { unsafe TypedElements(UnsafeBufferPointer($0.memory)) }, shape, place, options,
      output)
  }
}
