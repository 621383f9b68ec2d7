// The entrance: token rows gathered and positions added, from tables of floats or of two-byte elements
// into outputs of either.

extension Kernels {
  /// Adds to each token's row the row of its position.
  ///
  ///     for b in 0..<batch, t in 0..<context:
  ///       output[b, t, :] = round(scale * tokens[ids[b, t], :] + positions[place(b, t), :])
  ///
  /// Two-byte elements are widened to floats, which is exact, multiplied and added as floats, and
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
      try unsafe embed(
        ids: ids, tokens: tokens, positions: positions, shape: shape, at: place, options: options,
        into: output)
    }
  }

  /// The same into a buffer pointer.
  @inlinable
  public func embed<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Tokens: ReadableElements & ~Copyable & ~Escapable,
    Positions: ReadableElements & ~Copyable & ~Escapable, Output: TableElement
  >(
    ids: borrowing IDs, tokens: borrowing Tokens, positions: borrowing Positions,
    shape: EmbeddingShape, at place: PositionIDs = .sequential(),
    options: EmbedOptions = EmbedOptions(), into output: UnsafeMutableBufferPointer<Output>
  ) throws(EmbedError)
  where
    IDs.Element: TokenID, Tokens.Element: TableElement, Positions.Element == Tokens.Element
  {
    try unsafe ids.withElements { (ids) throws(EmbedError) in
      try unsafe tokens.withElements { (tokens) throws(EmbedError) in
        try unsafe positions.withElements { (positions) throws(EmbedError) in
          try unsafe embed(
            TokenIDs(ids), TypedElements(tokens), TypedElements(positions), shape, place, options,
            TypedElements(UnsafeBufferPointer(output)))
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
    var positionBuffer: UnsafeBufferPointer<Tokens.Element>?
    if let positions { unsafe positionBuffer = positions.withUnsafeBufferPointer { unsafe $0 } }
    let rows = unsafe positionBuffer
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe embed(
        ids: ids, tokens: tokens, positions: rows, shape: shape, at: place, options: options,
        into: output)
    }
  }

  /// The same with positions that there may be, into a buffer pointer.
  @inlinable
  public func embed<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Tokens: ReadableElements & ~Copyable & ~Escapable, Output: TableElement
  >(
    ids: borrowing IDs, tokens: borrowing Tokens,
    positions: UnsafeBufferPointer<Tokens.Element>?, shape: EmbeddingShape,
    at place: PositionIDs = .sequential(), options: EmbedOptions = EmbedOptions(),
    into output: UnsafeMutableBufferPointer<Output>
  ) throws(EmbedError) where IDs.Element: TokenID, Tokens.Element: TableElement {
    try unsafe ids.withElements { (ids) throws(EmbedError) in
      try unsafe tokens.withElements { (tokens) throws(EmbedError) in
        try unsafe embed(
          TokenIDs(ids), TypedElements(tokens), positions.map { unsafe TypedElements($0) }, shape,
          place, options, TypedElements(UnsafeBufferPointer(output)))
      }
    }
  }

  @usableFromInline
  func embed(
    _ ids: TokenIDs, _ tokens: TypedElements, _ positions: TypedElements?,
    _ shape: EmbeddingShape, _ place: PositionIDs, _ options: EmbedOptions,
    _ output: TypedElements
  ) throws(EmbedError) {
    try embed(ids, tokens, positions, shape, place, options, output, tuning: .inForce)
  }

  /// The same with other limits between ways than those measured.
  package func embed(
    _ ids: TokenIDs, _ tokens: TypedElements, _ positions: TypedElements?,
    _ shape: EmbeddingShape, _ place: PositionIDs, _ options: EmbedOptions,
    _ output: TypedElements, tuning: Tuning
  ) throws(EmbedError) {
    if tokens.type == .float32, output.type == .float32, positions?.type ?? .float32 == .float32 {
      return try unsafe embed(
        ids, tokens.floats, positions?.floats, shape, place, options, output.mutableFloats,
        tuning: tuning)
    }
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      let pass = try EmbedCall(
        shape: shape, ids: ids, tokens: tokens.elements, positions: positions?.elements,
        place: place, places: places, options: options, output: output.elements)
      // The limits are in bytes: plan as for as many bytes of floats.
      var floats = shape
      floats.dim = (shape.dim * output.type.byteCount + 3) / 4
      // Conversions are arithmetic, for which the widest vectors are best in cache too.
      var tuning = tuning
      tuning.halfLineDim = .max
      let plan = try Plan(self, floats, tuning)
      guard pass.outputBytes > 0 else { return }
      let typed = TypedPass(pass: pass, input: tokens.type, output: output.type)
      if !pass.isRegular {
        typed.embedRowByRow(threads: plan.threads)
      } else {
        typed.embed(plan)
      }
    }
  }
}

/// Elements of one of the known types.
@usableFromInline
@safe package struct TypedElements {
  let base: UnsafeRawPointer?
  let count: Int
  let type: ElementType

  /// Elements from memory of `type`.
  @inlinable
  package init<Element: TableElement>(_ elements: UnsafeBufferPointer<Element>) {
    unsafe self.init(
      base: elements.baseAddress.map { unsafe UnsafeRawPointer($0) }, count: elements.count,
      type: Element.elementType)
  }

  @usableFromInline
  init(base: UnsafeRawPointer?, count: Int, type: ElementType) {
    unsafe self.base = base
    self.count = count
    self.type = type
  }

  /// The elements of a `.float32` memory.
  var floats: UnsafeBufferPointer<Float> {
    unsafe UnsafeBufferPointer(start: base?.assumingMemoryBound(to: Float.self), count: count)
  }

  /// The same for memory that was given to be written.
  var mutableFloats: UnsafeMutableBufferPointer<Float> {
    unsafe UnsafeMutableBufferPointer(mutating: floats)
  }

  var elements: Elements { unsafe Elements(base, count, type.byteCount) }
}
