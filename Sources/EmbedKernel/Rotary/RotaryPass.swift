// One rotary call, checked, and its walk over the tensor: runs of tokens at consecutive positions
// become tiles whose rows of cosines and sines are the table's; other rows are computed on the way.
//
// B batch, H heads, T context, D head dim, P pairs.

/// A checked call on one tensor.
@safe struct RotaryPass {
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
  var tokens: Range<Int>

  @inline(__always)
  func run<Backend: BackendKernels>(_ backend: Backend.Type, _ plan: Plan) {
    let work = RotaryWork<Backend>(pass: self, plan: plan)
    Threads.split(tokens.count, plan.threads, work)
  }

  /// Whether vectors of the output lie on lines of the cache, as streaming stores need: those of 16
  /// elements of a row in the half layout, those of 16 pairs in the other.
  var isAligned: Bool {
    let line = 64 / type.byteCount
    let pairs = rows.pairs / blocks
    let areBlocksAligned =
      layout == .half ? pairs.isMultiple(of: 16) : blocks == 1 || (2 * pairs).isMultiple(of: line)
    return unsafe UInt(bitPattern: output) % 64 == 0 && shape.headDim.isMultiple(of: line)
      && areBlocksAligned
  }
}

/// Heads walked side by side: of 1, 2, 3, 4 and 6, four measured fastest (one thread, 25 MB: 1.31 ms
/// against 1.76 with one).
private let headsTogether = 4

/// Pairs of a row that is computed on the stack, at most.
private let slice = 256

/// A pass with its plan.
@safe private struct RotaryWork<Backend: BackendKernels>: ParallelWork {
  let pass: RotaryPass
  let plan: Plan
  let streaming: Bool

  init(pass: RotaryPass, plan: Plan) {
    self.pass = pass
    self.plan = plan
    let isInPlace = unsafe UnsafeRawPointer(pass.output) == pass.input
    streaming = plan.traffic.streaming && !isInPlace && pass.isAligned
  }

  /// Rotates the tokens `range` of the pass's.
  @inline(__always)
  func run(_ part: Range<Int>) {
    let first = pass.tokens.lowerBound
    let range = first + part.lowerBound..<first + part.upperBound
    let context = pass.shape.context
    if let coordinates = unsafe pass.coordinates {
      for token in range { unsafe rotate(token, at: coordinates + token) }
      return
    }
    pass.places.forEachRun(context: context, in: range) { start, count, position in
      // A document may go on into the next sequence.
      var done = 0
      while done < count {
        let column = (start + done) % context
        let length = min(context - column, count - done)
        rotate(start + done, count: length, from: position + done)
        done += length
      }
    }
  }

  /// Rotates `count` tokens of one sequence at consecutive positions.
  private func rotate(_ token: Int, count: Int, from position: Int) {
    let known = min(count, max(pass.rows.tableRows - position, 0))
    if known > 0 {
      let row = unsafe pass.rows.table + position * 2 * pass.rows.pairs
      let pairs = pass.rows.pairs / pass.blocks
      for block in 0..<pass.blocks {
        unsafe tile(
          token, count: known, row + block * pairs, sines: pass.rows.pairs,
          block * pairs..<(block + 1) * pairs, within: pairs)
      }
    }
    for i in known..<max(count, known) {
      unsafe rotate(token + i) { range, row in
        unsafe pass.rows.compute(range, position + i, into: row)
      }
    }
  }

  /// Rotates one token by its coordinates.
  private func rotate(_ token: Int, at coordinates: UnsafePointer<Int32>) {
    unsafe rotate(token) { range, row in
      unsafe pass.rows.compute(range, coordinates, stride: pass.shape.tokens, into: row)
    }
  }

  /// Rotates one token by rows that `compute` puts on the stack.
  @inline(__always)
  private func rotate(
    _ token: Int, _ compute: (Range<Int>, UnsafeMutablePointer<Float>) -> Void
  ) {
    var scratch = InlineArray<512, Float>(repeating: 0)
    var span = scratch.mutableSpan
    unsafe span.withUnsafeMutableBufferPointer { buffer in
      let row = unsafe buffer.baseAddress.unsafelyUnwrapped
      let pairs = pass.rows.pairs / pass.blocks
      for block in 0..<pass.blocks {
        var first = block * pairs
        while first < (block + 1) * pairs {
          let range = first..<min(first + slice, (block + 1) * pairs)
          unsafe compute(range, row)
          unsafe tile(token, count: 1, row, sines: range.count, range, within: pairs)
          first = range.upperBound
        }
      }
    }
  }

  /// Rotates the pairs `range`, within a block of `pairs` pairs, of `count` tokens in all heads.
  @inline(__always)
  private func tile(
    _ token: Int, count: Int, _ row: UnsafePointer<Float>, sines: Int, _ range: Range<Int>,
    within pairs: Int
  ) {
    let shape = pass.shape
    let (sequence, column) = token.quotientAndRemainder(dividingBy: shape.context)
    let block = range.lowerBound / pairs
    let offset =
      2 * block * pairs + (range.lowerBound - block * pairs) * (pass.layout == .half ? 1 : 2)
    let first = sequence * shape.sequenceStride + column * shape.tokenStride + offset
    let tokens = RotaryTile.Loop(
      count: count, elements: shape.tokenStride, rows: 2 * pass.rows.pairs)
    // Heads of a token share its row. Where a head's tokens lie together, a few heads are walked side
    // by side: a table that outgrows L1 is then read from L2 once for all of them.
    let together = shape.isHeadsFirst ? headsTogether : shape.heads
    let isLast = range.upperBound == pass.rows.pairs
    var head = 0
    while head < shape.heads {
      let at = (first + head * shape.headStride) * pass.type.byteCount
      let tile = unsafe RotaryTile(
        input: pass.input + at, output: pass.output + at, type: pass.type, rows: row, sines: sines,
        outer: tokens,
        inner: RotaryTile.Loop(
          count: min(together, shape.heads - head), elements: shape.headStride),
        pairs: range.count, partner: pairs, restStart: 2 * pass.rows.pairs - offset,
        rest: isLast ? shape.headDim - 2 * pass.rows.pairs : 0, layout: pass.layout,
        direction: pass.direction, streaming: streaming)
      Backend.rotate(tile, plan)
      head += together
    }
  }
}
