// A rotary call from the public entrances to the kernels: sizes, memory and positions checked, the
// angles found and their rows made, and one pass run.

extension RotaryEmbedding {
  @usableFromInline
  package func check(_ count: Int, _ shape: RotaryShape, _ argument: String) throws(EmbedError) {
    try Self.check(count, shape, headDim: headDim, argument)
  }

  package static func check(
    _ count: Int, _ shape: RotaryShape, headDim: Int, _ argument: String
  ) throws(EmbedError) {
    let expected = try shape.check(headDim: headDim)
    guard count == expected else {
      throw .wrongElementCount(
        argument: argument, expected: expected, shape: shape.dimensions, actual: count)
    }
  }

  func check(
    _ input: Elements, _ output: Elements, _ shape: RotaryShape
  ) throws(EmbedError) {
    try check(input.count, shape, "input")
    try check(output.count, shape, "output")
    let (x, y) = unsafe (UInt(bitPattern: input.base), UInt(bitPattern: output.base))
    let bytes = UInt(input.count * input.type.byteCount)
    if x != y, bytes > 0, max(x, y) - min(x, y) < bytes {
      throw .overlappingMemory(argument: "input")
    }
  }

  @usableFromInline
  func rotate(
    _ input: Elements, _ shape: RotaryShape, _ place: PositionIDs, _ scale: RotaryScale?,
    _ direction: RotaryDirection, _ role: RotaryRole, _ output: Elements, _ kernels: Kernels
  ) throws(EmbedError) {
    try check(input, output, shape)
    let (batch, context) = (shape.batch, shape.context)
    let state = try state(under: scale, role, place, batch: batch, context: context)
    try place.withPlaces(context: context) { (places) throws(EmbedError) in
      try unsafe run(
        state, places, coordinates: nil, shape, 0..<shape.tokens, direction, input, output, kernels)
    }
  }

  @usableFromInline
  func rotate(
    _ input: Elements, _ shape: RotaryShape,
    coordinates positions: UnsafeBufferPointer<Int32>, _ direction: RotaryDirection,
    _ role: RotaryRole, _ output: Elements, _ kernels: Kernels
  ) throws(EmbedError) {
    try check(input, output, shape)
    let count = axes?.count ?? 1
    let tokens = shape.tokens
    let expected = try elementCount("coordinates", count, shape.batch, shape.context)
    guard positions.count == expected else {
      throw .wrongElementCount(
        argument: "coordinates", expected: expected, shape: [count, shape.batch, shape.context],
        actual: positions.count)
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
      state, .sequential(offset: 0), coordinates: positions.baseAddress, shape, 0..<tokens,
      direction, input, output, kernels)
  }

  /// Rotates the tokens `tokens`, counted over the batch.
  @inline(__always)
  func run(
    _ state: RotaryState, _ places: Places, coordinates: UnsafePointer<Int32>?,
    _ shape: RotaryShape, _ tokens: Range<Int>, _ direction: RotaryDirection,
    _ input: Elements, _ output: Elements, _ kernels: Kernels
  ) throws(EmbedError) {
    let (vectors, bytes) = (tokens.count &* shape.heads, headDim &* input.type.byteCount)
    let plan = try Plan(
      kernels, outputBytes: vectors &* bytes, rows: vectors, dim: (bytes &+ 3) / 4)
    guard let x = unsafe input.base, let y = unsafe output.base, vectors > 0 else { return }
    state.withRows { rows in
      let call = unsafe RotaryCall(
        shape: shape, rows: rows, places: places, coordinates: coordinates,
        blocks: axes?.blocks ?? 1, layout: layout,
        // Backward twice is forward.
        direction: direction == turn ? .forward : .backward, input: x,
        output: UnsafeMutableRawPointer(mutating: y), type: input.type, tokens: tokens, plan: plan)
      Threads.split(tokens.count, plan.threads, call)
    }
  }
}

extension RotaryEmbedding {
  /// The highest position that can be: positions are 32-bit numbers, and xPos has a reach.
  var maximumPosition: Int {
    let largest = Int(Int32.max)
    guard let decay else { return largest }
    return min(largest, decay.center + decay.reach(rotaryDim: rotaryDim))
  }

  /// The angles for a call, with rows for its positions as far as the table goes.
  @inline(__always)
  private func state(
    under scale: RotaryScale?, _ role: RotaryRole, _ place: PositionIDs, batch: Int, context: Int
  ) throws(EmbedError) -> RotaryState {
    // The usual call: the trained angles, and all positions in the table.
    let first = try state(scale ?? .trained, role)
    let isKnown: Bool
    do throws(EmbedError) {
      isKnown = try place.check(
        batch: batch, context: context, maximum: min(first.rowCount, maximumPosition + 1))
    } catch {
      // Checked once more below, for an error that names the real limit.
      isKnown = false
    }
    if isKnown, scale != nil || scaling.scale(length: first.rowCount) == .trained {
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
    try place.requireBelow(maximum, batch: batch, context: context)
    if let decay, decay.center > 0 {
      // Before the center queries shrink and keys grow.
      let lowest = decay.center - decay.reach(rotaryDim: rotaryDim)
      guard lowest <= 0 else {
        throw .invalidSize(
          argument: "center", value: decay.center,
          expected: "at most the decay's reach, \(decay.reach(rotaryDim: rotaryDim))")
      }
    }
    return place.length(context: context, in: 0..<batch * context)
  }
}

extension PositionIDs {
  /// One more than the highest position of the tokens `range` of a checked batch.
  package func length(context: Int, in range: Range<Int>) -> Int {
    var length = 0
    withPlaces(context: context) { places in
      length = places.bounds(context: context, in: range).map { $0.upperBound + 1 } ?? 0
    }
    return length
  }
}
