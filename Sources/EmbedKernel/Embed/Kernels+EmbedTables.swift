// The entrance on tables themselves. Where an optimiser leaves rows of them behind, those that the batch
// reads are brought up to date, and no others; a table's span would bring up all.

extension Kernels {
  /// Adds to each token's row the row of its position, as
  /// ``embed(ids:tokens:positions:shape:at:options:into:)`` does, from tables.
  @inlinable
  public func embed<
    IDs: ReadableElements & ~Copyable & ~Escapable, Element: TableElement,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    ids: borrowing IDs, tokens: EmbeddingTable<Element>, positions: EmbeddingTable<Element>?,
    shape: EmbeddingShape, at place: PositionIDs = .sequential(),
    options: EmbedOptions = EmbedOptions(), into output: inout Output
  ) throws(EmbedError) where IDs.Element: TokenID, Output.Element: TableElement {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe embed(
          TokenIDs(ids), tokens, positions, shape, place, options,
          Elements(UnsafeBufferPointer(output)))
      }
    }
  }

  @usableFromInline
  func embed<Element: TableElement>(
    _ ids: TokenIDs, _ tokens: EmbeddingTable<Element>, _ positions: EmbeddingTable<Element>?,
    _ shape: EmbeddingShape, _ place: PositionIDs, _ options: EmbedOptions, _ output: Elements
  ) throws(EmbedError) {
    tokens.bringUp(.ids(ids, outside: options.unknownIDs), self)
    try positions?.bringUp(place, shape, self)
    try embed(ids, tokens.elements, positions?.elements, shape, place, options, output)
  }
}
