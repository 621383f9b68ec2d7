// A scale for each sequence of a batch: with dynamic NTK or LongRoPE the angles depend on a
// sequence's length, so sequences of one batch may need different ones. With packed documents each
// document is a sequence of its own.

extension RotaryEmbedding {
  /// The scale of each sequence by its own length, which is what its highest position needs: one a
  /// batch row, or one a document of a packed batch.
  ///
  /// - Parameter place: Where each token stands: offsets, a mask, ids or documents.
  /// - Throws: `EmbedError` where it does not fit the sizes. Allocates the result.
  public func scales(
    at place: PositionIDs, batch: Int, context: Int
  ) throws(EmbedError) -> [RotaryScale] {
    for (argument, value) in [("batch", batch), ("context", context)] where value < 0 {
      throw .invalidSize(argument: argument, value: value, expected: "0 or more")
    }
    _ = try elementCount("tokens", batch, context)
    _ = try length(place, batch: batch, context: context)
    return place.sequences(batch: batch, context: context).map { tokens in
      scaling.scale(length: place.length(context: context, in: tokens))
    }
  }

  /// Rotates a batch whose sequences have a scale each.
  ///
  ///     let scales = try rotary.scales(at: place, batch: shape.batch, context: shape.context)
  ///     try rotary.rotate(queries, shape: shape, at: place, scales: scales, into: &rotated)
  ///
  /// - Parameters:
  ///   - input: Queries or keys, shape as `shape` says.
  ///   - place: Where each token stands.
  ///   - scales: One a sequence, or with packed documents one a document.
  ///   - output: The same shape; apart from the input.
  /// - Throws: `EmbedError`, before anything is written. Allocates the angles of single lengths.
  @inlinable
  public func rotate<Element: TableElement>(
    _ input: Span<Element>, shape: RotaryShape, at place: PositionIDs = .sequential(),
    scales: [RotaryScale], _ direction: RotaryDirection = .forward,
    as role: RotaryRole = .queries, into output: inout MutableSpan<Element>,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe rotate(
      Elements(input.withUnsafeBufferPointer { unsafe $0 }), shape, place, scales, direction,
      role,
      Elements(
        UnsafeBufferPointer(output.withUnsafeMutableBufferPointer { unsafe $0 })), kernels)
  }

  /// The same in place.
  @inlinable
  public func rotate<Element: TableElement>(
    inPlace tensor: inout MutableSpan<Element>, shape: RotaryShape,
    at place: PositionIDs = .sequential(), scales: [RotaryScale],
    _ direction: RotaryDirection = .forward, as role: RotaryRole = .queries,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    let buffer = unsafe tensor.withUnsafeMutableBufferPointer { unsafe $0 }
    let elements = unsafe Elements(UnsafeBufferPointer(buffer))
    try rotate(elements, shape, place, scales, direction, role, elements, kernels)
  }

  /// Turns cached keys that were rotated under one scale into what they are under another, in place.
  ///
  /// Exact up to the rounding of the cached keys; the keys need not be computed anew.
  ///
  /// - Parameters:
  ///   - keys: Rotated keys of one or more sequences.
  ///   - place: The positions they were rotated by.
  /// - Throws: `EmbedError`, before anything is written; `invalidValue` where the old scale's
  ///   attention factor is 0, which leaves nothing to rescale. Allocates the angles.
  @inlinable
  public func rescale<Element: TableElement>(
    _ keys: inout MutableSpan<Element>, shape: RotaryShape, at place: PositionIDs = .sequential(),
    from old: RotaryScale, to new: RotaryScale, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    let buffer = unsafe keys.withUnsafeMutableBufferPointer { unsafe $0 }
    try unsafe rescale(
      Elements(UnsafeBufferPointer(buffer)), shape, place, from: old, to: new, kernels)
  }

  @usableFromInline
  func rotate(
    _ input: Elements, _ shape: RotaryShape, _ place: PositionIDs, _ scales: [RotaryScale],
    _ direction: RotaryDirection, _ role: RotaryRole, _ output: Elements, _ kernels: Kernels
  ) throws(EmbedError) {
    try check(input, output, shape)
    _ = try length(place, batch: shape.batch, context: shape.context)
    let sequences = place.sequences(batch: shape.batch, context: shape.context)
    guard scales.count == sequences.count else {
      throw .wrongElementCount(
        argument: "scales", expected: sequences.count, shape: [sequences.count],
        actual: scales.count)
    }
    var states: [RotaryState] = []
    for (scale, tokens) in zip(scales, sequences) {
      let state = try state(scale, role)
      try state.reserve(place.length(context: shape.context, in: tokens))
      states.append(state)
    }
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      for (state, tokens) in zip(states, sequences) {
        try unsafe run(
          state, places, coordinates: nil, shape, tokens, direction, input, output, kernels)
      }
    }
  }

  @usableFromInline
  func rescale(
    _ keys: Elements, _ shape: RotaryShape, _ place: PositionIDs, from old: RotaryScale,
    to new: RotaryScale, _ kernels: Kernels
  ) throws(EmbedError) {
    try check(keys.count, shape, "keys")
    _ = try length(place, batch: shape.batch, context: shape.context)
    let state = try change(from: old, to: new)
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      try unsafe run(
        state, places, coordinates: nil, shape, 0..<shape.tokens, .forward, keys, keys, kernels)
    }
  }
}

extension PositionIDs {
  /// The tokens of each sequence, counted over the batch: those of a batch row, or of a document.
  func sequences(batch: Int, context: Int) -> [Range<Int>] {
    guard case .packed(let lengths) = layout else {
      return (0..<batch).map { $0 * context..<($0 + 1) * context }
    }
    return zip(lengths, lengths.dropFirst()).map { Int($0)..<Int($1) }
  }
}
