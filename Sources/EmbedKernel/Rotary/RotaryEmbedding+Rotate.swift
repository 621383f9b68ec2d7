// Applying the rotation to queries and keys: into other memory or in place, forward and backward,
// in floats or 16-bit elements.

extension RotaryEmbedding {
  /// Rotates each head's vector by its token's position.
  ///
  ///     for every pair (a, b) of the first r elements, with angle = position * frequency:
  ///       output pair = (a * cos - b * sin, b * cos + a * sin) * attentionFactor
  ///
  /// 16-bit elements are widened to floats, which is exact, rotated, and rounded once to nearest
  /// even. All backends but OpenBLAS, whose `srot` fuses additions, give the same bits for every
  /// number of threads.
  ///
  /// - Parameters:
  ///   - input: Queries or keys, `[batch, heads, context, headDim]` or
  ///     `[batch, context, heads, headDim]` by `shape.order`.
  ///   - place: Where each token stands; by default at its column. With several axes, all
  ///     coordinates take this position.
  ///   - scale: The angles; nil for those of a sequence as long as the highest position needs.
  ///   - direction: `.backward` takes output gradients to input gradients.
  ///   - role: Whether these are queries or keys, which differ in xPos only.
  ///   - output: The same shape; apart from the input.
  /// - Throws: `EmbedError`, before anything is written.
  /// - Complexity: O(B·H·T·D). Memory traffic: the elements' bytes read once and written once.
  ///   Allocates nothing once the table has the positions; the angles of one length
  ///   (`RotaryScale.length`) are allocated in each call.
  @inlinable
  public func rotate<
    Input: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    _ input: borrowing Input, shape: RotaryShape, at place: PositionIDs = .sequential(),
    under scale: RotaryScale? = nil, _ direction: RotaryDirection = .forward,
    as role: RotaryRole = .queries, into output: inout Output, using kernels: Kernels = .auto
  ) throws(EmbedError) where Input.Element: TableElement, Output.Element == Input.Element {
    try unsafe input.withElements { (input) throws(EmbedError) in
      try unsafe output.withMutableElements { (output) throws(EmbedError) in
        try unsafe rotate(
          input, shape: shape, at: place, under: scale, direction, as: role, into: output,
          using: kernels)
      }
    }
  }

  /// The same in place.
  @inlinable
  public func rotate<Tensor: WritableElements & ~Copyable & ~Escapable>(
    inPlace tensor: inout Tensor, shape: RotaryShape, at place: PositionIDs = .sequential(),
    under scale: RotaryScale? = nil, _ direction: RotaryDirection = .forward,
    as role: RotaryRole = .queries, using kernels: Kernels = .auto
  ) throws(EmbedError) where Tensor.Element: TableElement {
    try unsafe tensor.withMutableElements { (tensor) throws(EmbedError) in
      try unsafe rotate(
        UnsafeBufferPointer(tensor), shape: shape, at: place, under: scale, direction, as: role,
        into: tensor, using: kernels)
    }
  }

  /// Rotates queries and keys in place. With grouped queries the keys have fewer heads.
  ///
  /// - Parameters:
  ///   - queries: `[batch, heads, context, headDim]`, or with the context first, by `shape.order`.
  ///   - keys: The same with `keyHeads` heads.
  ///   - shape: The queries' sizes.
  /// - Throws: `EmbedError`, before anything is written.
  @inlinable
  public func rotate<
    Queries: WritableElements & ~Copyable & ~Escapable,
    Keys: WritableElements & ~Copyable & ~Escapable
  >(
    queries: inout Queries, keys: inout Keys, shape: RotaryShape, keyHeads: Int,
    at place: PositionIDs = .sequential(), under scale: RotaryScale? = nil,
    _ direction: RotaryDirection = .forward, using kernels: Kernels = .auto
  ) throws(EmbedError)
  where Queries.Element: TableElement, Keys.Element == Queries.Element {
    var keyShape = shape
    keyShape.heads = keyHeads
    let shapeOfKeys = keyShape
    try unsafe queries.withMutableElements { (queries) throws(EmbedError) in
      try unsafe keys.withMutableElements { (keys) throws(EmbedError) in
        // Queries must not be rotated if the keys then turn out to be of another size.
        try check(keys.count, shapeOfKeys, "keys")
        try check(queries.count, shape, "queries")
        try unsafe rotate(
          UnsafeBufferPointer(queries), shape: shape, at: place, under: scale, direction,
          as: .queries, into: queries, using: kernels)
        try unsafe rotate(
          UnsafeBufferPointer(keys), shape: shapeOfKeys, at: place, under: scale, direction,
          as: .keys, into: keys, using: kernels)
      }
    }
  }

  /// The same as the first on buffer pointers; the output may be the input.
  @inlinable
  public func rotate<Element: TableElement>(
    _ input: UnsafeBufferPointer<Element>, shape: RotaryShape,
    at place: PositionIDs = .sequential(), under scale: RotaryScale? = nil,
    _ direction: RotaryDirection = .forward, as role: RotaryRole = .queries,
    into output: UnsafeMutableBufferPointer<Element>, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe rotate(
      Elements(input), shape, place, scale, direction, role,
      Elements(UnsafeBufferPointer(output)), kernels)
  }

  /// Rotates by several coordinates a token, as `axes` says.
  ///
  /// - Parameter positions: Shape `[axes, batch, context]`, none negative.
  @inlinable
  public func rotate<
    Input: ReadableElements & ~Copyable & ~Escapable,
    Positions: ReadableElements<Int32> & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    _ input: borrowing Input, shape: RotaryShape, coordinates positions: borrowing Positions,
    _ direction: RotaryDirection = .forward, as role: RotaryRole = .queries,
    into output: inout Output, using kernels: Kernels = .auto
  ) throws(EmbedError) where Input.Element: TableElement, Output.Element == Input.Element {
    try unsafe input.withElements { (input) throws(EmbedError) in
      try unsafe positions.withElements { (positions) throws(EmbedError) in
        try unsafe output.withMutableElements { (output) throws(EmbedError) in
          try unsafe rotate(
            input, shape: shape, coordinates: positions, direction, as: role, into: output,
            using: kernels)
        }
      }
    }
  }

  /// The same on buffer pointers; the output may be the input.
  @inlinable
  public func rotate<Element: TableElement>(
    _ input: UnsafeBufferPointer<Element>, shape: RotaryShape,
    coordinates positions: UnsafeBufferPointer<Int32>, _ direction: RotaryDirection = .forward,
    as role: RotaryRole = .queries, into output: UnsafeMutableBufferPointer<Element>,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe rotate(
      Elements(input), shape, coordinates: positions, direction, role,
      Elements(UnsafeBufferPointer(output)), kernels)
  }
}

extension RotaryEmbedding {
  /// The cosines and sines of consecutive positions, each `[count, pairs]`, attention factor
  /// included: of one coordinate, as queries take them.
  ///
  /// - Throws: `EmbedError` for positions outside 0...Int32.max. Allocates the result.
  public func rows(
    first: Int, count: Int, under scale: RotaryScale = .trained
  ) throws(EmbedError) -> (cosines: [Float], sines: [Float]) {
    guard count >= 0 else {
      throw .invalidSize(argument: "count", value: count, expected: "0 or more")
    }
    _ = try length(.sequential(offset: first), batch: 1, context: count)
    let elements = try elementCount("rows", count, pairs)
    try SystemMemory.check(elementCount("rows", elements, 2 * MemoryLayout<Float>.stride))
    return try state(scale, .queries).withRows { rows in
      var (cosines, sines): ([Float], [Float]) = ([], [])
      cosines.reserveCapacity(elements)
      sines.reserveCapacity(elements)
      for position in first..<first + count {
        for pair in 0..<pairs {
          let (cosine, sine) = rows.known(pair, position)
          cosines.append(cosine)
          sines.append(sine)
        }
      }
      return (cosines, sines)
    }
  }
}
