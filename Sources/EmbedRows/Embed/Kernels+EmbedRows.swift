// The entrance: token rows of any format gathered, decoded on the way, and positions added.

internal import CKernels
public import EmbedKernel

extension Kernels {
  /// Adds to each token's row, decoded, the row of its position, as
  /// `Kernels.embed` of EmbedKernel does from floats.
  ///
  ///     for b in 0..<batch, t in 0..<context:
  ///       output[b, t, :] = round(scale * decoded(tokens[ids[b, t], :]) + positions[place(b, t), :])
  ///
  /// Rows are never written out as floats. A column is what the format's inventors decode it to, bit for
  /// bit; product and sum are rounded each, and the output once. The same bits for every backend,
  /// instruction set and number of threads; other backends than `native` run C's portable code.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`; `Int32`, `Int64` or `Int`.
  ///   - tokens: Token table, shape `[vocabulary, dim]`.
  ///   - positions: Position table, shape `[maximum, dim]`; `Float`, `BFloat16` or `Half`.
  ///   - shape: The four sizes.
  ///   - place: Where each token stands; by default at its column.
  ///   - options: Scale, and what to do outside the tables.
  ///   - output: Shape `[batch, context, dim]`; shares no memory with the inputs.
  /// - Throws: `EmbedError`, before anything is written; of a mapped table also `unreadableRow`, after
  ///   which the output has no meaning.
  /// - Complexity: O(N·D) for N tokens. Memory traffic: the bytes of the tokens' rows read, the output's
  ///   written, and the position rows once. Allocates nothing.
  @inlinable
  public func embed<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Positions: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    ids: borrowing IDs, tokens: RowTable, positions: borrowing Positions, shape: EmbeddingShape,
    at place: PositionIDs = .sequential(), options: EmbedOptions = EmbedOptions(),
    into output: inout Output
  ) throws(EmbedError)
  where IDs.Element: TokenID, Positions.Element: TableElement, Output.Element: TableElement {
    let isAbsent = positions.isAbsent
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe positions.withElements { (positions) throws(EmbedError) in
          try unsafe embed(
            TokenIDs(ids), tokens, isAbsent ? nil : Elements(positions), shape, place, options,
            Elements(UnsafeBufferPointer(output)))
        }
      }
    }
  }

  /// The same without positions.
  @inlinable
  public func embed<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    ids: borrowing IDs, tokens: RowTable, shape: EmbeddingShape,
    options: EmbedOptions = EmbedOptions(), into output: inout Output
  ) throws(EmbedError) where IDs.Element: TokenID, Output.Element: TableElement {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe embed(
          TokenIDs(ids), tokens, nil, shape, .sequential(), options,
          Elements(UnsafeBufferPointer(output)))
      }
    }
  }

  /// The same with positions from a table.
  ///
  /// Where an optimiser leaves rows of it behind, those that the batch reads are brought up to date.
  @inlinable
  public func embed<
    IDs: ReadableElements & ~Copyable & ~Escapable, Element: TableElement,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    ids: borrowing IDs, tokens: RowTable, positions: EmbeddingTable<Element>?,
    shape: EmbeddingShape, at place: PositionIDs = .sequential(),
    options: EmbedOptions = EmbedOptions(), into output: inout Output
  ) throws(EmbedError) where IDs.Element: TokenID, Output.Element: TableElement {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe embed(
          TokenIDs(ids), tokens, rows: positions, shape, place, options,
          Elements(UnsafeBufferPointer(output)))
      }
    }
  }

  @usableFromInline
  func embed<Element: TableElement>(
    _ ids: TokenIDs, _ tokens: RowTable, rows positions: EmbeddingTable<Element>?,
    _ shape: EmbeddingShape, _ place: PositionIDs, _ options: EmbedOptions, _ output: Elements
  ) throws(EmbedError) {
    try positions?.bringUp(place, shape, self)
    try embed(ids, tokens, positions?.elements, shape, place, options, output)
  }

  @usableFromInline
  package func embed(
    _ ids: TokenIDs, _ tokens: RowTable, _ positions: Elements?, _ shape: EmbeddingShape,
    _ place: PositionIDs, _ options: EmbedOptions, _ output: Elements
  ) throws(EmbedError) {
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      // The call's type of input is that of the positions, the only rows that it finds itself.
      let call = try EmbedCall(
        shape: shape, ids: ids, tokens: tokens.elements(positions?.type ?? .float32),
        positions: positions, place: place, places: places, options: options, output: output)
      try tokens.check(shape, output)
      try tokens.reading { () throws(EmbedError) in
        try RowEmbedCall(call: call, table: tokens.view, pages: tokens.pages).run(self)
      }
    }
  }
}

extension RowTable {
  /// The rows as an argument whose count and memory are checked.
  fileprivate func elements(_ type: ElementType) -> Elements {
    unsafe Elements(base: view.bytes, count: rows * dim, type: type, bytes: rowBytes.count)
  }

  /// Checks what a count of elements doesn't tell.
  fileprivate func check(_ shape: EmbeddingShape, _ output: Elements) throws(EmbedError) {
    guard dim == shape.dim else {
      throw .invalidSize(argument: "dim of the token table", value: dim, expected: "\(shape.dim)")
    }
    if output.memory.overlaps(unsafe Memory(view.scales, scaleBytes.count)) {
      throw .overlappingMemory(argument: "tokens")
    }
  }
}
