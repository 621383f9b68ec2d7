// A checked call on attention logits, cut into rows for the threads and into blocks for the scheme.
// Masks are laid here, so no scheme knows of them; the distance table alone lays the causal one
// itself, in the same pass over memory.
//
// Schemes compute with floats. 16-bit logits are widened to the stack block by block, and rounded
// once when the block is done, so every scheme works on every element type.

/// The blocks of a call, which are pieces of work for any thread.
@safe package struct BiasBlocks {
  let call: AttentionCall
  let bias: any AttentionBias
  /// The bias lays the causal mask, and writes where it would add.
  let isFused: Bool
  /// Floats of a block of 16-bit logits, on the stack of the thread; nil for floats.
  private(set) var scratch: UnsafeMutablePointer<Float>?

  init(_ call: AttentionCall, _ bias: any AttentionBias) {
    self.call = call
    self.bias = bias
    isFused = bias.distanceTable != nil
  }

  /// The blocks of queries of all heads. They follow from the shape alone, as do the tiles of products
  /// in them: threads take whole ones, so that their number changes no bit.
  var count: Int { call.shape.batch &* call.shape.heads &* blocksOfHead }
  private var blocksOfHead: Int { (call.shape.queries &+ Self.rows &- 1) / Self.rows }

  /// Rows of a block: enough to use a table's row again while it is in L1.
  package static let rows = 32
  /// Columns of a block of 16-bit logits.
  static let columns = 512
  /// The floats of such a block, 64 KiB.
  typealias Scratch = InlineArray<16384, Float>
}

extension BiasBlocks: ParallelWork {
  /// Does the blocks `range` of `[batch * heads]` times the blocks of a head.
  package func run(_ range: Range<Int>) {
    withScratch { blocks in
      for block in range {
        let (lane, place) = block.quotientAndRemainder(dividingBy: blocksOfHead)
        let first = place &* Self.rows
        blocks.add(lane, first..<min(call.shape.queries, first &+ Self.rows))
      }
    }
  }

  /// Gives `body` these blocks with floats on the stack, where they need them.
  @inline(__always)
  func withScratch(_ body: (BiasBlocks) -> Void) {
    guard call.element != .float32 else { return body(self) }
    var scratch = Scratch(repeating: 0)
    var span = scratch.mutableSpan
    unsafe span.withUnsafeMutableBufferPointer {
      var blocks = self
      unsafe blocks.scratch = $0.baseAddress
      body(blocks)
    }
  }

  /// Calls `body` for the queries `columns` of a lane, at most `rows` at consecutive positions.
  @inline(__always)
  func forEachQueries(_ lane: Int, _ columns: Range<Int>, _ body: (Stretch) -> Void) {
    call.queries.forEachStretch(
      row: lane / call.shape.heads, context: call.shape.queries, columns: columns
    ) { stretch in
      guard stretch.group != Stretch.padding else { return body(stretch) }
      var done = 0
      while done < stretch.count {
        let block = stretch.part(done, Self.rows)
        body(block)
        done += block.count
      }
    }
  }

  /// Calls `body` for the keys of a lane.
  @inline(__always)
  func forEachKeys(_ lane: Int, _ body: (Stretch) -> Void) {
    call.keys.forEachStretch(
      row: lane / call.shape.heads, context: call.shape.keys, columns: 0..<call.shape.keys, body)
  }

  /// Calls `body` with floats for the logits of some queries against some keys: where they lie, or
  /// `columns` at a time in the scratch.
  @inline(__always)
  func forEachFloats(
    _ lane: Int, _ queries: Stretch, _ keys: Stretch,
    _ body: (_ keys: Stretch, _ logits: UnsafeMutablePointer<Float>, _ stride: Int) -> Void
  ) {
    guard let scratch = unsafe scratch else {
      return unsafe body(
        keys,
        call.logit(lane, queries.column, keys.column).assumingMemoryBound(to: Float.self),
        call.shape.keys)
    }
    var done = 0
    while done < keys.count {
      let part = keys.part(done, Self.columns)
      unsafe body(part, scratch, Self.columns)
      done += part.count
    }
  }

  private func add(_ lane: Int, _ columns: Range<Int>) {
    forEachQueries(lane, columns) { queries in
      guard queries.group != Stretch.padding else {
        if call.overwrites { fill(0, lane, queries, 0..<call.shape.keys) }
        return
      }
      forEachKeys(lane) { keys in add(lane, queries, keys) }
    }
  }

  /// Adds to, or masks, the logits of some queries against some keys.
  private func add(_ lane: Int, _ queries: Stretch, _ keys: Stretch) {
    guard queries.group == keys.group else {
      let isMasked =
        keys.group == Stretch.padding
        ? call.mask.contains(.padding)
        : call.mask.contains(.documents)
          || call.mask.contains(.causal) && keys.group > queries.group
      if isMasked || call.overwrites {
        fill(isMasked ? -.infinity : 0, lane, queries, keys.column..<keys.column + keys.count)
      }
      return
    }
    unsafe forEachFloats(lane, queries, keys) { keys, floats, stride in
      if unsafe scratch != nil && !call.overwrites {
        unsafe widen(lane, queries, keys, to: floats)
      }
      unsafe add(lane, queries, keys, floats, stride)
      guard unsafe scratch != nil else { return }
      for row in 0..<queries.count {
        unsafe call.plan.convert(
          floats + row * stride, .float32,
          to: call.logit(lane, queries.column + row, keys.column), call.element,
          count: keys.count)
      }
    }
  }

  /// Copies 16-bit logits to floats, `columns` a row.
  func widen(
    _ lane: Int, _ queries: Stretch, _ keys: Stretch, to floats: UnsafeMutablePointer<Float>
  ) {
    for row in 0..<queries.count {
      unsafe call.plan.convert(
        call.logit(lane, queries.column + row, keys.column), call.element,
        to: floats + row * Self.columns, .float32, count: keys.count)
    }
  }

  /// Adds to, and masks, floats: the first is that of the first query and key.
  private func add(
    _ lane: Int, _ queries: Stretch, _ keys: Stretch, _ logits: UnsafeMutablePointer<Float>,
    _ stride: Int
  ) {
    if call.overwrites && !isFused {
      for row in 0..<queries.count {
        unsafe (logits + row * stride).update(repeating: 0, count: keys.count)
      }
    }
    if let block = unsafe block(lane, queries, keys, logits, stride) { bias.add(block) }
    guard call.mask.contains(.causal), !isFused else { return }
    for row in 0..<queries.count {
      let first = max(0, min(keys.count, queries.position + row + 1 - keys.position))
      unsafe (logits + row * stride + first).update(
        repeating: -.infinity, count: keys.count - first)
    }
  }

  /// The block of some queries against some keys, without the keys that none of them sees unless
  /// the bias masks them itself; nil where that leaves nothing.
  func block(
    _ lane: Int, _ queries: Stretch, _ keys: Stretch, _ logits: UnsafeMutablePointer<Float>,
    _ stride: Int
  ) -> BiasBlock? {
    let isCausal = call.mask.contains(.causal)
    let keyCount =
      isCausal && !isFused
      ? min(keys.count, queries.position + queries.count - keys.position) : keys.count
    guard keyCount > 0 else { return nil }
    let (shape, dim) = (call.shape, call.dim)
    let (batchRow, head) = lane.quotientAndRemainder(dividingBy: shape.heads)
    return unsafe BiasBlock(
      batchRow: batchRow, head: head,
      queries: queries.position..<queries.position + queries.count,
      keys: keys.position..<keys.position + keyCount, isCausal: isCausal,
      queryVectors: call.vectors.queries?.baseAddress.map {
        unsafe $0 + (lane * shape.queries + queries.column) * dim
      },
      keyVectors: call.vectors.keys?.baseAddress.map {
        unsafe $0 + (lane * shape.keys + keys.column) * dim
      },
      overwrites: call.overwrites && isFused, logits: logits, stride: stride, plan: call.plan)
  }

  /// Writes `value`, which is 0 or minus infinity, to logits of any type.
  private func fill(_ value: Float, _ lane: Int, _ queries: Stretch, _ keys: Range<Int>) {
    guard !keys.isEmpty else { return }
    for row in 0..<queries.count {
      let start = unsafe call.logit(lane, queries.column + row, keys.lowerBound)
      switch call.element {
      case .float32:
        unsafe start.assumingMemoryBound(to: Float.self)
          .update(repeating: value, count: keys.count)
      case .float16:
        unsafe start.assumingMemoryBound(to: Half.self)
          .update(repeating: Half(value), count: keys.count)
      case .bfloat16:
        unsafe start.assumingMemoryBound(to: BFloat16.self)
          .update(repeating: BFloat16(value), count: keys.count)
      }
    }
  }
}
