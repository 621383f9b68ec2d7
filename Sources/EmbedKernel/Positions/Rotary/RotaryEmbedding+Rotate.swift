// Applying the rotation to queries and keys: into other memory or in place, forward and backward.

extension RotaryEmbedding {
  /// Rotates each head's vector by its token's position.
  ///
  ///     for every pair (a, b) of the first r elements, with angle = position * frequency:
  ///       output pair = (a * cos - b * sin, b * cos + a * sin) * attentionFactor
  ///
  /// All backends but OpenBLAS, whose `srot` fuses additions, give the same bits for every number of
  /// threads.
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
  /// - Complexity: O(B·H·T·D). Memory traffic: B·H·T·D·4 bytes read, as many written. Allocates
  ///   nothing once the table has the positions; the angles of one length (`RotaryScale.length`)
  ///   are allocated in each call.
  public func rotate(
    _ input: Span<Float>, shape: RotaryShape, at place: PositionIDs = .sequential(),
    under scale: RotaryScale? = nil, _ direction: RotaryDirection = .forward,
    as role: RotaryRole = .queries, into output: inout MutableSpan<Float>,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe rotate(
      input.withUnsafeBufferPointer { unsafe $0 }, shape: shape, at: place, under: scale,
      direction, as: role, into: output.withUnsafeMutableBufferPointer { unsafe $0 },
      using: kernels)
  }

  /// The same in place.
  public func rotate(
    inPlace tensor: inout MutableSpan<Float>, shape: RotaryShape,
    at place: PositionIDs = .sequential(), under scale: RotaryScale? = nil,
    _ direction: RotaryDirection = .forward, as role: RotaryRole = .queries,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    let buffer = unsafe tensor.withUnsafeMutableBufferPointer { unsafe $0 }
    try unsafe rotate(
      UnsafeBufferPointer(buffer), shape: shape, at: place, under: scale, direction, as: role,
      into: buffer, using: kernels)
  }

  /// Rotates queries and keys in place. With grouped queries the keys have fewer heads.
  ///
  /// - Parameters:
  ///   - queries: `[batch, heads, context, headDim]`, or with the context first, by `shape.order`.
  ///   - keys: The same with `keyHeads` heads.
  ///   - shape: The queries' sizes.
  /// - Throws: `EmbedError`, before anything is written.
  public func rotate(
    queries: inout MutableSpan<Float>, keys: inout MutableSpan<Float>, shape: RotaryShape,
    keyHeads: Int, at place: PositionIDs = .sequential(), under scale: RotaryScale? = nil,
    _ direction: RotaryDirection = .forward, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    var keyShape = shape
    keyShape.heads = keyHeads
    // Queries must not be rotated if the keys then turn out to be of another size.
    try RotaryEmbedding.check(keys.count, keyShape, headDim: headDim, "keys")
    try RotaryEmbedding.check(queries.count, shape, headDim: headDim, "queries")
    try rotate(
      inPlace: &queries, shape: shape, at: place, under: scale, direction, as: .queries,
      using: kernels)
    try rotate(
      inPlace: &keys, shape: keyShape, at: place, under: scale, direction, as: .keys,
      using: kernels)
  }

  /// The same as the first on buffer pointers; the output may be the input.
  public func rotate(
    _ input: UnsafeBufferPointer<Float>, shape: RotaryShape,
    at place: PositionIDs = .sequential(), under scale: RotaryScale? = nil,
    _ direction: RotaryDirection = .forward, as role: RotaryRole = .queries,
    into output: UnsafeMutableBufferPointer<Float>, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe check(input, output, shape)
    let (batch, context) = (shape.batch, shape.context)
    let state = try state(under: scale, role, place, batch: batch, context: context)
    try place.withPlaces(context: context) { (places) throws(EmbedError) in
      try unsafe run(
        state, places, coordinates: nil, shape, direction, input, output, kernels)
    }
  }

  /// Rotates by several coordinates a token, as `axes` says.
  ///
  /// - Parameter positions: Shape `[axes, batch, context]`, none negative.
  public func rotate(
    _ input: Span<Float>, shape: RotaryShape, coordinates positions: Span<Int32>,
    _ direction: RotaryDirection = .forward, as role: RotaryRole = .queries,
    into output: inout MutableSpan<Float>, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe rotate(
      input.withUnsafeBufferPointer { unsafe $0 }, shape: shape,
      coordinates: positions.withUnsafeBufferPointer { unsafe $0 }, direction, as: role,
      into: output.withUnsafeMutableBufferPointer { unsafe $0 }, using: kernels)
  }

  /// The same on buffer pointers; the output may be the input.
  public func rotate(
    _ input: UnsafeBufferPointer<Float>, shape: RotaryShape,
    coordinates positions: UnsafeBufferPointer<Int32>, _ direction: RotaryDirection = .forward,
    as role: RotaryRole = .queries, into output: UnsafeMutableBufferPointer<Float>,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe check(input, output, shape)
    let count = axes?.count ?? 1
    let tokens = shape.batch * shape.context
    guard positions.count == count * tokens else {
      throw .wrongElementCount(
        argument: "coordinates", expected: count * tokens,
        shape: [count, shape.batch, shape.context], actual: positions.count)
    }
    let limit = maximumPosition
    var highest = -1
    for i in 0..<positions.count {
      let position = unsafe Int(positions[i])
      guard position >= 0, position <= limit else {
        let token = i % max(tokens, 1)
        throw .positionOutOfRange(
          position: position, batchRow: token / shape.context, index: token % shape.context,
          maximum: limit + 1)
      }
      highest = max(highest, position)
    }
    let state = try state(scaling.scale(length: highest + 1), role)
    try state.reserve(highest + 1)
    try unsafe run(
      state, .sequential(offset: 0), coordinates: positions.baseAddress, shape, direction, input,
      output, kernels)
  }
}

extension RotaryEmbedding {
  /// The highest position that can be: positions are 32-bit numbers, and xPos has a reach.
  var maximumPosition: Int {
    let largest = Int(Int32.max)
    guard let decay else { return largest }
    return min(largest, decay.center + decay.reach(rotaryDim: rotaryDim))
  }

  static func check(
    _ count: Int, _ shape: RotaryShape, headDim: Int, _ argument: String
  ) throws(EmbedError) {
    let expected = try shape.check(headDim: headDim)
    guard count == expected else {
      throw .wrongElementCount(
        argument: argument, expected: expected, shape: shape.dimensions, actual: count)
    }
  }

  private func check(
    _ input: UnsafeBufferPointer<Float>, _ output: UnsafeMutableBufferPointer<Float>,
    _ shape: RotaryShape
  ) throws(EmbedError) {
    try Self.check(input.count, shape, headDim: headDim, "input")
    try Self.check(output.count, shape, headDim: headDim, "output")
    let (x, y) = (UInt(bitPattern: input.baseAddress), UInt(bitPattern: output.baseAddress))
    if x != y, input.count > 0, max(x, y) - min(x, y) < UInt(input.count * 4) {
      throw .overlappingMemory(argument: "input")
    }
  }

  /// The angles for a call, with rows for its positions as far as the table goes.
  @inline(__always)
  private func state(
    under scale: RotaryScale?, _ role: RotaryRole, _ place: PositionIDs, batch: Int, context: Int
  ) throws(EmbedError) -> RotaryState {
    // The usual call: the trained angles, and all positions in the table.
    let first = try state(scale ?? .trained, role)
    let isKnown = try place.check(
      batch: batch, context: context, maximum: min(first.rows.tableRows, maximumPosition + 1))
    if isKnown, scale != nil || scaling.scale(length: first.rows.tableRows) == .trained {
      return first
    }
    let needed = try length(place, batch: batch, context: context)
    let state = scale == nil ? try state(scaling.scale(length: needed), role) : first
    try state.reserve(needed)
    return state
  }

  /// One more than the highest position.
  func length(_ place: PositionIDs, batch: Int, context: Int) throws(EmbedError) -> Int {
    let maximum = maximumPosition + 1
    if try !place.check(batch: batch, context: context, maximum: maximum) {
      throw place.overflow(batch: batch, context: context, maximum: maximum)
    }
    if let decay, decay.center > 0 {
      // Before the center queries shrink and keys grow.
      let lowest = decay.center - decay.reach(rotaryDim: rotaryDim)
      guard lowest <= 0 else {
        throw .invalidSize(
          argument: "center", value: decay.center,
          expected: "at most the decay's reach, \(decay.reach(rotaryDim: rotaryDim))")
      }
    }
    return place.highestPosition(batch: batch, context: context).map { $0 + 1 } ?? 0
  }

  @inline(__always)
  func run(
    _ state: RotaryState, _ places: Places, coordinates: UnsafePointer<Int32>?,
    _ shape: RotaryShape, _ direction: RotaryDirection, _ input: UnsafeBufferPointer<Float>,
    _ output: UnsafeMutableBufferPointer<Float>, _ kernels: Kernels
  ) throws(EmbedError) {
    let plan = try Plan(
      kernels,
      EmbeddingShape(
        vocabulary: 1, batch: shape.batch, context: shape.context * shape.heads, dim: headDim),
      .inForce)
    guard let x = input.baseAddress, let y = output.baseAddress, input.count > 0
    else { return }
    withExtendedLifetime(state) {
      let pass = unsafe RotaryPass(
        shape: shape, rows: state.rows, places: places, coordinates: coordinates,
        blocks: axes?.blocks ?? 1, layout: layout, direction: direction, input: x, output: y)
      plan.backend.rotate(pass, plan)
    }
  }
}

extension PositionIDs {
  /// The highest position of a checked `[batch, context]`, nil where that is empty.
  func highestPosition(batch: Int, context: Int) -> Int? {
    var highest: Int?
    withPlaces(context: context) { places in
      places.forEachRun(context: context, in: 0..<batch * context) { _, count, position in
        highest = max(highest ?? 0, position + count - 1)
      }
    }
    return highest
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
    let rows = try state(scale, .queries).rows
    var (cosines, sines): ([Float], [Float]) = ([], [])
    cosines.reserveCapacity(count * pairs)
    sines.reserveCapacity(count * pairs)
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
