// One forward call, checked: everything a backend needs, as plain addresses and sizes.
//
// B batch, T context, N = B*T tokens, V vocabulary, D dim.

/// A checked call: output[b, t, :] = scale * tokens[ids[b, t], :] + positions[place(b, t), :].
@safe package struct EmbedCall {
  package let shape: EmbeddingShape
  package let ids: TokenIDs
  let tokens: UnsafeRawPointer
  /// The position table, `maximum` rows; nil adds no positions.
  package let positions: UnsafeRawPointer?
  package let maximum: Int
  package let places: Places
  package let options: EmbedOptions
  private(set) var output: UnsafeMutableRawPointer
  /// How the tables' elements are stored, and the output's.
  package let input: ElementType
  package private(set) var written: ElementType
  /// Every id and position is inside its table, as in all but a few calls.
  package let isRegular: Bool

  package var tokenCount: Int { shape.batch &* shape.context }
  var dim: Int { shape.dim }
  package var outputBytes: Int { tokenCount &* dim &* written.byteCount }
  /// Whether all elements are floats.
  var isFloat: Bool { input == .float32 && written == .float32 }

  /// Checks the arguments against each other; nothing has been written when this throws.
  @inline(__always)
  package init(
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
    unsafe self.tokens = table
    unsafe self.positions = positions?.base
    self.maximum = maximum
    self.places = places
    self.options = options
    unsafe self.output = UnsafeMutableRawPointer(mutating: output.base ?? table)
    input = tokens.type
    self.written = output.type
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

  // MARK: Rows

  /// Row `id` of the token table.
  @inline(__always)
  func tokenRow(_ id: Int) -> UnsafeRawPointer {
    unsafe tokens + id &* dim &* input.byteCount
  }

  /// Row `position` of the position table.
  @inline(__always)
  package func positionRow(_ position: Int) -> UnsafeRawPointer? {
    unsafe positions.map { unsafe $0 + position &* dim &* input.byteCount }
  }

  /// The output row of `token`.
  @inline(__always)
  package func outputRow(_ token: Int) -> UnsafeMutableRawPointer {
    unsafe output + token &* dim &* written.byteCount
  }

  /// Writes to other memory, of as many floats as the output has elements.
  mutating func write(floats: borrowing AlignedBuffer<Float>) {
    unsafe output = UnsafeMutableRawPointer(floats.base)
    written = .float32
  }

  /// The output of a call on floats, from the row of `token` on.
  @inline(__always)
  func floats(_ token: Int = 0) -> UnsafeMutablePointer<Float> {
    unsafe outputRow(token).assumingMemoryBound(to: Float.self)
  }
}

/// A stretch of addresses.
package struct Memory {
  let start: UInt
  let end: UInt

  package init(_ base: UnsafeRawPointer?, _ bytes: Int) {
    start = UInt(bitPattern: base)
    end = start &+ UInt(bitPattern: bytes)
  }

  package func overlaps(_ other: Memory) -> Bool {
    start < other.end && other.start < end && start != end && other.start != other.end
  }
}
