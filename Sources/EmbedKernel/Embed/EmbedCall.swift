// One forward call, checked: everything a backend needs, as plain pointers and sizes.
//
// B batch, T context, N = B*T tokens, V vocabulary, D dim.

/// A checked call: output[b, t, :] = scale * tokens[ids[b, t], :] + positions[place(b, t), :].
@safe package struct EmbedCall {
  let shape: EmbeddingShape
  let ids: TokenIDs
  let tokens: UnsafePointer<Float>
  /// The position table, `maximum` rows; nil adds no positions.
  let positions: UnsafePointer<Float>?
  let maximum: Int
  let places: Places
  let options: EmbedOptions
  let output: UnsafeMutablePointer<Float>
  /// Every id and position is inside its table, as in all but a few calls.
  let isRegular: Bool

  var tokenCount: Int { shape.batch &* shape.context }
  var dim: Int { shape.dim }
  var outputBytes: Int { tokenCount &* dim &* 4 }

  /// Checks the arguments against each other; nothing has been written when this throws.
  package init(
    shape: EmbeddingShape, ids: TokenIDs, tokens: UnsafeBufferPointer<Float>,
    positions: UnsafeBufferPointer<Float>?, place: PositionIDs, places: Places,
    options: EmbedOptions, output: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    try unsafe self.init(
      shape: shape, ids: ids, tokens: Elements(tokens.baseAddress, tokens.count, 4),
      positions: positions.map { unsafe Elements($0.baseAddress, $0.count, 4) }, place: place,
      places: places, options: options, output: Elements(output.baseAddress, output.count, 4))
  }

  /// The same for elements of any size. With sizes other than a float's the pass's pointers are
  /// addresses and count elements; see `TypedPass`.
  @inline(__always)
  init(
    shape: EmbeddingShape, ids: TokenIDs, tokens: Elements, positions: Elements?,
    place: PositionIDs, places: Places, options: EmbedOptions, output: Elements
  ) throws(EmbedError) {
    let counts = try shape.check()
    try Self.check("ids", ids.count, counts.ids, [shape.batch, shape.context])
    try Self.check("tokens", tokens.count, counts.table, [shape.vocabulary, shape.dim])
    try Self.check(
      "output", output.count, counts.output, [shape.batch, shape.context, shape.dim])
    guard options.scale.isFinite else {
      throw .invalidValue(
        argument: "scale", value: Double(options.scale), expected: "a finite number")
    }

    var isRegular = ids.areAll(below: shape.vocabulary)
    if !isRegular, options.unknownIDs == .error,
      let error = ids.firstOutside(shape.vocabulary, context: shape.context)
    {
      throw error
    }

    var maximum = Int.max
    if let positions {
      maximum = positions.count / shape.dim
      guard positions.count == maximum * shape.dim else {
        throw .wrongElementCount(
          argument: "positions", expected: (maximum + 1) * shape.dim,
          shape: [maximum + 1, shape.dim], actual: positions.count)
      }
    }
    if try !place.check(batch: shape.batch, context: shape.context, maximum: maximum) {
      guard options.positionOverflow == .clamp, maximum > 0 else {
        throw place.overflow(batch: shape.batch, context: shape.context, maximum: maximum)
      }
      isRegular = false
    }

    let written = output.memory
    if written.overlaps(tokens.memory) {
      throw .overlappingMemory(argument: "tokens")
    }
    if let positions, written.overlaps(positions.memory) {
      throw .overlappingMemory(argument: "positions")
    }
    if written.overlaps(unsafe Memory(ids.base, ids.bytes)) {
      throw .overlappingMemory(argument: "ids")
    }

    self.shape = shape
    self.ids = ids
    // A checked table has an element, and so an address. An empty output may have none; then
    // nothing is ever written.
    let table = unsafe tokens.base.unsafelyUnwrapped
    unsafe self.tokens = table.assumingMemoryBound(to: Float.self)
    unsafe self.positions = positions?.base?.assumingMemoryBound(to: Float.self)
    self.maximum = maximum
    self.places = places
    self.options = options
    unsafe self.output =
      UnsafeMutableRawPointer(mutating: output.base ?? table).assumingMemoryBound(to: Float.self)
    self.isRegular = isRegular
  }

  static func check(
    _ argument: String, _ actual: Int, _ expected: Int, _ shape: @autoclosure () -> [Int]
  ) throws(EmbedError) {
    guard actual == expected else {
      throw .wrongElementCount(
        argument: argument, expected: expected, shape: shape(), actual: actual)
    }
  }
}

/// Elements somewhere in memory, whose size is known but not their type.
@safe struct Elements {
  let base: UnsafeRawPointer?
  let count: Int
  let size: Int

  init(_ base: UnsafeRawPointer?, _ count: Int, _ size: Int) {
    unsafe self.base = base
    self.count = count
    self.size = size
  }

  var memory: Memory { unsafe Memory(base, count &* size) }
}

/// A stretch of addresses.
struct Memory {
  let start: UInt
  let end: UInt

  init(_ base: UnsafeRawPointer?, _ bytes: Int) {
    start = UInt(bitPattern: base)
    end = start &+ UInt(bitPattern: bytes)
  }

  func overlaps(_ other: Memory) -> Bool {
    start < other.end && other.start < end && start != end && other.start != other.end
  }
}
