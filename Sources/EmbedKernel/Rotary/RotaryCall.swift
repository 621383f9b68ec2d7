// One rotary call: sizes, memory and positions checked, and its walk over the tensor. Runs of tokens
// at consecutive positions become tiles whose rows of cosines and sines are the table's; other rows
// are computed on the way.
//
// B batch, H heads, T context, D head dim, P pairs.

internal import CKernels

/// A checked call on one tensor.
@safe struct RotaryCall {
  let shape: RotaryShape
  let rows: RotaryRows
  let places: Places
  /// Positions `[axes, batch, context]` instead of `places`.
  let coordinates: UnsafePointer<Int32>?
  /// The parts of a head within which pairs lie.
  let blocks: Int
  let layout: RotaryLayout
  let direction: RotaryDirection
  let input: UnsafeRawPointer
  let output: UnsafeMutableRawPointer
  /// What both hold.
  let type: ElementType
  /// The tokens to rotate, counted over the batch.
  let tokens: Range<Int>
  let plan: Plan

  /// The pairs of a block.
  private var pairs: Int { rows.pairs / blocks }

  /// Whether to write past the cache, as is only possible where vectors of the output lie on lines of
  /// the cache: those of 16 elements of a row in the layout of halves, of 16 pairs in the other.
  private var isStreaming: Bool {
    guard plan.traffic.streaming, unsafe UnsafeRawPointer(output) != input else { return false }
    let line = 64 / type.byteCount
    let areBlocksAligned =
      layout == .halves ? pairs.isMultiple(of: 16) : blocks == 1 || (2 * pairs).isMultiple(of: line)
    return unsafe UInt(bitPattern: output) % 64 == 0 && shape.headDim.isMultiple(of: line)
      && areBlocksAligned
  }
}

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

/// Heads walked side by side: of 1, 2, 3, 4 and 6, four measured fastest (one thread, 25 MB: 1.31 ms
/// against 1.76 with one).
private let headsTogether = 4

/// Pairs of a row that is computed on the stack, at most.
private let slice = 256

extension RotaryCall: ParallelWork {
  /// Rotates the tokens `part` of the call's.
  @inline(__always)
  func run(_ part: Range<Int>) {
    let first = tokens.lowerBound
    let range = first + part.lowerBound..<first + part.upperBound
    // What all tiles of the part share.
    var tile = unsafe ek_rotary_tile(
      input: input, output: output, type: type.code, rows: rows.table, sines: 0,
      outer: ek_rotary_loop(count: 1, elements: shape.tokenStride, rows: 2 * rows.pairs),
      inner: ek_rotary_loop(count: 1, elements: shape.headStride, rows: 0), pairs: 0,
      partner: pairs, rest_at: 0, rest: 0, neighbours: layout == .interleaved,
      inverse: direction == .backward, streaming: isStreaming)
    if let coordinates = unsafe coordinates {
      for token in range {
        unsafe rotate(token, &tile) { pairs, row in
          unsafe rows.compute(pairs, coordinates + token, stride: shape.tokens, into: row)
        }
      }
      return
    }
    places.forEachRun(context: shape.context, in: range) { token, count, position in
      let known = min(count, max(rows.tableRows - position, 0))
      if known > 0 {
        let row = unsafe rows.table + position * 2 * rows.pairs
        unsafe tile.sines = rows.pairs
        unsafe tile.outer.count = known
        for block in 0..<blocks {
          let first = block * pairs
          unsafe rotate(token, first..<first + pairs, row + first, &tile)
        }
      }
      for i in known..<max(count, known) {
        unsafe rotate(token + i, &tile) { pairs, row in
          unsafe rows.compute(pairs, position + i, into: row)
        }
      }
    }
  }

  /// Rotates one token by rows that `compute` puts on the stack.
  private func rotate(
    _ token: Int, _ tile: inout ek_rotary_tile,
    _ compute: (Range<Int>, UnsafeMutablePointer<Float>) -> Void
  ) {
    var scratch = InlineArray<512, Float>(repeating: 0)
    var span = scratch.mutableSpan
    unsafe tile.outer.count = 1
    unsafe span.withUnsafeMutableBufferPointer { buffer in
      let row = unsafe buffer.baseAddress.unsafelyUnwrapped
      for block in 0..<blocks {
        var first = block * pairs
        while first < (block + 1) * pairs {
          let range = first..<min(first + slice, (block + 1) * pairs)
          unsafe compute(range, row)
          unsafe tile.sines = range.count
          unsafe rotate(token, range, row, &tile)
          first = range.upperBound
        }
      }
    }
  }

  /// Rotates the pairs `range`, within a block, of the tile's tokens from `token` on in all heads.
  @inline(__always)
  private func rotate(
    _ token: Int, _ range: Range<Int>, _ row: UnsafePointer<Float>, _ tile: inout ek_rotary_tile
  ) {
    let block = range.lowerBound / pairs
    let offset =
      2 * block * pairs + (range.lowerBound - block * pairs) * (layout == .halves ? 1 : 2)
    let first = shape.vector(token: token, head: 0) + offset
    let isLast = range.upperBound == rows.pairs
    unsafe tile.rows = row
    unsafe tile.pairs = range.count
    unsafe tile.rest_at = 2 * rows.pairs - offset
    unsafe tile.rest = isLast ? shape.headDim - 2 * rows.pairs : 0
    // Heads of a token share its row. Where a head's tokens lie together, a few heads are walked side
    // by side: a table that outgrows L1 is then read from L2 once for all of them.
    let together = shape.isHeadsFirst ? headsTogether : shape.heads
    var head = 0
    while head < shape.heads {
      let at = (first + head * shape.headStride) * type.byteCount
      unsafe tile.input = input + at
      unsafe tile.output = output + at
      unsafe tile.inner.count = min(together, shape.heads - head)
      unsafe plan.backend.kernels.rotate(tile, plan)
      head += together
    }
  }
}

extension ek_rotary_tile {
  var isInPlace: Bool { unsafe UnsafeRawPointer(output) == input }

  /// How far row (`outer`, `inner`) is from the first, in elements.
  @inline(__always)
  func element(_ outer: Int, _ inner: Int) -> Int {
    unsafe outer &* self.outer.elements &+ inner &* self.inner.elements
  }

  /// The cosines of that row.
  @inline(__always)
  func cosines(_ outer: Int, _ inner: Int) -> UnsafePointer<Float> {
    unsafe rows + (outer &* self.outer.rows &+ inner &* self.inner.rows)
  }
}
