// The entrance for tables and outputs of two-byte elements.

extension Kernels {
  /// Adds to each token's row the row of its position, on tables of one element type and into an
  /// output of the same or another.
  ///
  ///     for b in 0..<batch, t in 0..<context:
  ///       output[b, t, :] = round(scale * tokens[ids[b, t], :] + positions[place(b, t), :])
  ///
  /// Elements are widened to floats, which is exact, multiplied and added as floats, and rounded
  /// once to the output's type, to nearest even. Bit for bit the same for every backend and number
  /// of threads.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - tokens: Token table, shape `[vocabulary, dim]`.
  ///   - positions: Position table of the same type, shape `[maximum, dim]`; nil adds none.
  ///   - shape: The four sizes.
  ///   - place: Where each token stands; by default at its column.
  ///   - options: Scale, and what to do outside the tables.
  ///   - output: Shape `[batch, context, dim]`; shares no memory with the inputs.
  /// - Throws: `EmbedError`, before anything is written.
  /// - Complexity: O(N·D) for N tokens. Memory traffic with two-byte elements on both sides: N·D·2
  ///   bytes read, as many written, and the position rows once. Allocates nothing.
  @inlinable
  public func embed<ID: TokenID, Input: TableElement, Output: TableElement>(
    ids: Span<ID>, tokens: Span<Input>, positions: Span<Input>?, shape: EmbeddingShape,
    at place: PositionIDs = .sequential(), options: EmbedOptions = EmbedOptions(),
    into output: inout MutableSpan<Output>
  ) throws(EmbedError) {
    // A span's memory outlives the call that borrows it.
    var positionBuffer: UnsafeBufferPointer<Input>?
    if let positions { unsafe positionBuffer = positions.withUnsafeBufferPointer { unsafe $0 } }
    try unsafe embed(
      ids: ids.withUnsafeBufferPointer { unsafe $0 },
      tokens: tokens.withUnsafeBufferPointer { unsafe $0 }, positions: positionBuffer,
      shape: shape, at: place, options: options,
      into: output.withUnsafeMutableBufferPointer { unsafe $0 })
  }

  /// The same on buffer pointers.
  @inlinable
  public func embed<ID: TokenID, Input: TableElement, Output: TableElement>(
    ids: UnsafeBufferPointer<ID>, tokens: UnsafeBufferPointer<Input>,
    positions: UnsafeBufferPointer<Input>?, shape: EmbeddingShape,
    at place: PositionIDs = .sequential(), options: EmbedOptions = EmbedOptions(),
    into output: UnsafeMutableBufferPointer<Output>
  ) throws(EmbedError) {
    try unsafe embed(
      TokenIDs(ids), TypedElements(tokens), positions.map { unsafe TypedElements($0) }, shape,
      place, options, TypedElements(UnsafeBufferPointer(output)))
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
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      let pass = try ForwardPass(
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
      } else if tokens.type == .float32, output.type == .float32 {
        plan.backend.embed(pass, plan)
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

  var elements: Elements { unsafe Elements(base, count, type.byteCount) }
}
