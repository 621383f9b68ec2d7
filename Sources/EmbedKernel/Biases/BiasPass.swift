// One checked call on attention logits, cut into rows for the threads and into blocks for the
// scheme. Masks are laid here, so no scheme knows of them; the distance table alone lays the causal
// one itself, in the same pass over memory.
//
// Schemes compute with floats. Two-byte logits are widened to the stack block by block, and rounded
// once when the block is done, so every scheme works on every element type.

/// A checked call: logits[b, h, i, j] += bias(h, place(b, i), place(b, j)), or minus infinity.
@safe struct BiasPass {
  let bias: any AttentionBias
  let shape: AttentionShape
  let queries: Places
  let keys: Places
  let mask: AttentionMask
  let reach: BiasReach
  let overwrites: Bool
  let logits: UnsafeMutableRawPointer
  let element: ElementType
  let content: BlockContent
  let plan: Plan
  /// The bias lays the causal mask, and writes where it would add.
  let isFused: Bool
  /// Floats of a block of two-byte logits, on the stack of the thread; nil for floats.
  var scratch: UnsafeMutablePointer<Float>?

  /// The blocks of queries of all heads. They follow from the shape alone, as do the tiles of products
  /// in them: threads take whole ones, so that their number changes no bit.
  var blockCount: Int { shape.batch &* shape.heads &* blocksOfHead }
  private var blocksOfHead: Int { (shape.queries &+ Self.blockRows &- 1) / Self.blockRows }

  /// Rows of a block: enough to use a table's row again while it is in L1.
  static let blockRows = 32
  /// Columns of a block of two-byte logits.
  static let blockColumns = 512
  /// The floats of such a block, 64 KiB.
  typealias Scratch = InlineArray<16384, Float>
}

extension BiasPass: ParallelWork {
  /// Does the blocks `range` of `[batch * heads]` times the blocks of a head.
  func run(_ range: Range<Int>) {
    withScratch { $0.walk(range) }
  }

  /// Gives `body` this pass with floats on the stack, where it needs them.
  @inline(__always)
  func withScratch(_ body: (BiasPass) -> Void) {
    guard element != .float32 else { return body(self) }
    var scratch = Scratch(repeating: 0)
    var span = scratch.mutableSpan
    unsafe span.withUnsafeMutableBufferPointer {
      var pass = self
      unsafe pass.scratch = $0.baseAddress
      body(pass)
    }
  }

  private func walk(_ range: Range<Int>) {
    for block in range {
      let (lane, place) = block.quotientAndRemainder(dividingBy: blocksOfHead)
      let first = place &* Self.blockRows
      rows(
        batchRow: lane / shape.heads, head: lane % shape.heads,
        first..<min(shape.queries, first &+ Self.blockRows))
    }
  }

  private func rows(batchRow: Int, head: Int, _ columns: Range<Int>) {
    queries.forEachStretch(row: batchRow, context: shape.queries, columns: columns) { stretch in
      guard stretch.group != Stretch.padding else {
        if overwrites {
          fill(0, batchRow, head, stretch.column, stretch.count, 0, shape.keys)
        }
        return
      }
      var done = 0
      while done < stretch.count {
        let block = stretch.part(done, Self.blockRows)
        keys.forEachStretch(row: batchRow, context: shape.keys, columns: 0..<shape.keys) { keys in
          pair(batchRow, head, block, keys)
        }
        done += block.count
      }
    }
  }

  /// Adds to, or masks, the logits of some queries against some keys.
  private func pair(_ batchRow: Int, _ head: Int, _ queries: Stretch, _ keys: Stretch) {
    guard queries.group == keys.group else {
      let isMasked =
        keys.group == Stretch.padding
        ? mask.contains(.padding)
        : mask.contains(.documents) || mask.contains(.causal) && keys.group > queries.group
      if isMasked {
        fill(
          -.infinity, batchRow, head, queries.column, queries.count, keys.column, keys.count)
      } else if overwrites {
        fill(0, batchRow, head, queries.column, queries.count, keys.column, keys.count)
      }
      return
    }
    guard let scratch = unsafe scratch else {
      return unsafe add(
        batchRow, head, queries, keys,
        address(batchRow, head, queries.column, keys.column).assumingMemoryBound(to: Float.self),
        shape.keys)
    }
    var done = 0
    while done < keys.count {
      let part = keys.part(done, Self.blockColumns)
      if !overwrites { unsafe widen(batchRow, head, queries, part, to: scratch) }
      unsafe add(batchRow, head, queries, part, scratch, Self.blockColumns)
      for row in 0..<queries.count {
        unsafe plan.convert(
          scratch + row * Self.blockColumns, .float32,
          to: address(batchRow, head, queries.column + row, part.column), element,
          count: part.count)
      }
      done += part.count
    }
  }

  /// Copies two-byte logits to floats, `blockColumns` a row.
  func widen(
    _ batchRow: Int, _ head: Int, _ queries: Stretch, _ keys: Stretch,
    to floats: UnsafeMutablePointer<Float>
  ) {
    for row in 0..<queries.count {
      unsafe plan.convert(
        address(batchRow, head, queries.column + row, keys.column), element,
        to: floats + row * Self.blockColumns, .float32, count: keys.count)
    }
  }

  /// Adds to, and masks, floats: the first is that of the first query and key.
  private func add(
    _ batchRow: Int, _ head: Int, _ queries: Stretch, _ keys: Stretch,
    _ logits: UnsafeMutablePointer<Float>, _ stride: Int
  ) {
    if overwrites && !isFused {
      for row in 0..<queries.count {
        unsafe (logits + row * stride).update(repeating: 0, count: keys.count)
      }
    }
    if let block = unsafe block(batchRow, head, queries, keys, logits, stride) { bias.add(block) }
    guard mask.contains(.causal), !isFused else { return }
    for row in 0..<queries.count {
      let first = max(0, min(keys.count, queries.position + row + 1 - keys.position))
      unsafe (logits + row * stride + first).update(
        repeating: -.infinity, count: keys.count - first)
    }
  }

  /// The block of some queries against some keys, without the keys that none of them sees unless
  /// the bias masks them itself; nil where that leaves nothing.
  func block(
    _ batchRow: Int, _ head: Int, _ queries: Stretch, _ keys: Stretch,
    _ logits: UnsafeMutablePointer<Float>, _ stride: Int
  ) -> BiasBlock? {
    let isCausal = mask.contains(.causal)
    let keyCount =
      isCausal && !isFused
      ? min(keys.count, queries.position + queries.count - keys.position) : keys.count
    guard keyCount > 0 else { return nil }
    return unsafe BiasBlock(
      batchRow: batchRow, head: head,
      queries: queries.position..<queries.position + queries.count,
      keys: keys.position..<keys.position + keyCount, isCausal: isCausal, overwrites: overwrites,
      logits: logits, stride: stride,
      content: content(batchRow, head, queries.column, keys.column), plan: plan)
  }

  /// The address of a logit.
  func address(
    _ batchRow: Int, _ head: Int, _ query: Int, _ key: Int
  ) -> UnsafeMutableRawPointer {
    let row = (batchRow &* shape.heads &+ head) &* shape.queries &+ query
    return unsafe logits + (row &* shape.keys &+ key) &* element.byteCount
  }

  private func content(
    _ batchRow: Int, _ head: Int, _ query: Int, _ key: Int
  ) -> BlockContent {
    let lane = batchRow &* shape.heads &+ head
    let dim = content.dim
    return unsafe BlockContent(
      dim: dim, queries: content.queries.map { unsafe $0 + (lane * shape.queries + query) * dim },
      keys: content.keys.map { unsafe $0 + (lane * shape.keys + key) * dim })
  }

  /// Writes `value`, which is 0 or minus infinity, to logits of any type.
  private func fill(
    _ value: Float, _ batchRow: Int, _ head: Int, _ query: Int, _ queryCount: Int, _ key: Int,
    _ keyCount: Int
  ) {
    guard keyCount > 0 else { return }
    for row in 0..<queryCount {
      let start = unsafe address(batchRow, head, query + row, key)
      switch element {
      case .float32:
        unsafe start.assumingMemoryBound(to: Float.self)
          .update(repeating: value, count: keyCount)
      case .float16:
        unsafe start.assumingMemoryBound(to: Half.self)
          .update(repeating: Half(value), count: keyCount)
      case .bfloat16:
        unsafe start.assumingMemoryBound(to: BFloat16.self)
          .update(repeating: BFloat16(value), count: keyCount)
      }
    }
  }
}
