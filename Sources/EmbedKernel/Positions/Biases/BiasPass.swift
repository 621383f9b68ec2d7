// One checked call on attention logits, cut into rows for the threads and into blocks for the
// scheme. Masks are laid here, so no scheme knows of them; the distance table alone lays the causal
// one itself, in the same pass over memory.

/// A checked call: logits[b, h, i, j] += bias(h, place(b, i), place(b, j)), or minus infinity.
@safe struct BiasPass {
  let bias: any AttentionBias
  let shape: AttentionShape
  let queries: Places
  let keys: Places
  let mask: AttentionMask
  let reach: BiasReach
  let overwrites: Bool
  let logits: UnsafeMutablePointer<Float>
  let content: BlockContent
  let plan: Plan
  /// The bias lays the causal mask, and writes where it would add.
  let isFused: Bool

  var rowCount: Int { shape.batch &* shape.heads &* shape.queries }

  /// Rows of a block: enough to use a table's row again while it is in L1.
  static let blockRows = 32
}

/// Where a call's queries and keys stand, checked.
struct BiasPlaces {
  let reach: BiasReach

  init(
    _ bias: any AttentionBias, _ shape: AttentionShape, _ queryIDs: PositionIDs,
    _ keyIDs: PositionIDs, _ queries: Places, _ keys: Places
  ) throws(EmbedError) {
    if let heads = bias.heads, heads != shape.heads {
      throw .invalidSize(
        argument: "heads", value: shape.heads, expected: "\(heads), as the \(bias.name) bias has")
    }
    let maximum = min(bias.positions ?? .max, Int(Int32.max))
    try Self.check(queryIDs, shape.batch, shape.queries, maximum)
    try Self.check(keyIDs, shape.batch, shape.keys, maximum)
    guard queries.isPacked == keys.isPacked else { throw .unpairedDocuments }
    guard let q = queries.bounds(batch: shape.batch, context: shape.queries),
      let k = keys.bounds(batch: shape.batch, context: shape.keys)
    else {
      reach = BiasReach(past: 0, future: 0)
      return
    }
    reach = BiasReach(
      past: max(0, q.highest - k.lowest), future: max(0, k.highest - q.lowest))
  }

  private static func check(
    _ ids: PositionIDs, _ batch: Int, _ context: Int, _ maximum: Int
  ) throws(EmbedError) {
    guard try ids.check(batch: batch, context: context, maximum: maximum) else {
      throw ids.overflow(batch: batch, context: context, maximum: maximum)
    }
  }
}

extension BiasPass: ParallelWork {
  /// Does the rows `range` of `[batch * heads * queries]`.
  func run(_ range: Range<Int>) {
    var row = range.lowerBound
    while row < range.upperBound {
      let (lane, first) = row.quotientAndRemainder(dividingBy: shape.queries)
      let end = min(shape.queries, first + range.upperBound - row)
      rows(batchRow: lane / shape.heads, head: lane % shape.heads, first..<end)
      row += end - first
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
        let count = min(Self.blockRows, stretch.count - done)
        let block = Stretch(
          column: stretch.column + done, count: count, position: stretch.position + done,
          group: stretch.group)
        keys.forEachStretch(row: batchRow, context: shape.keys, columns: 0..<shape.keys) { keys in
          pair(batchRow, head, block, keys)
        }
        done += count
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
    if overwrites && !isFused {
      fill(0, batchRow, head, queries.column, queries.count, keys.column, keys.count)
    }
    if let block = block(batchRow, head, queries, keys) { bias.add(block) }
    guard mask.contains(.causal), !isFused else { return }
    for row in 0..<queries.count {
      let first = max(0, min(keys.count, queries.position + row + 1 - keys.position))
      fill(
        -.infinity, batchRow, head, queries.column + row, 1, keys.column + first,
        keys.count - first)
    }
  }

  /// The block of some queries against some keys, without the keys that none of them sees unless
  /// the bias masks them itself; nil where that leaves nothing.
  func block(
    _ batchRow: Int, _ head: Int, _ queries: Stretch, _ keys: Stretch
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
      logits: address(batchRow, head, queries.column, keys.column), stride: shape.keys,
      content: content(batchRow, head, queries.column, keys.column), plan: plan)
  }

  private func address(
    _ batchRow: Int, _ head: Int, _ query: Int, _ key: Int
  ) -> UnsafeMutablePointer<Float> {
    let row = (batchRow &* shape.heads &+ head) &* shape.queries &+ query
    return unsafe logits + (row &* shape.keys &+ key)
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

  private func fill(
    _ value: Float, _ batchRow: Int, _ head: Int, _ query: Int, _ queryCount: Int, _ key: Int,
    _ keyCount: Int
  ) {
    guard keyCount > 0 else { return }
    for row in 0..<queryCount {
      unsafe address(batchRow, head, query + row, key).update(repeating: value, count: keyCount)
    }
  }
}
