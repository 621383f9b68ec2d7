// The shortest way of a call with a distance table: where each sequence's queries and keys stand one
// after another, a head's logits are one tile of the backend, of any element type. Nothing here
// grows with the context, so a tile of 64 by 64 costs little more than its additions.

/// A checked call of a distance table whose positions are consecutive in each sequence.
@safe struct DistancePass: ParallelWork {
  let shape: AttentionShape
  let queries: Places
  let keys: Places
  let isCausal: Bool
  let overwrites: Bool
  let logits: UnsafeMutableRawPointer
  let element: ElementType
  /// The entry of distance 0 of the first head, and the floats to the next head's.
  let table: UnsafeMutablePointer<Float>
  let headStride: Int
  let plan: Plan

  /// Does the rows `range` of `[batch * heads * queries]`.
  @inline(__always)
  func run(_ range: Range<Int>) {
    var row = range.lowerBound
    while row < range.upperBound {
      let (lane, first) = row.quotientAndRemainder(dividingBy: shape.queries)
      let (batchRow, head) = lane.quotientAndRemainder(dividingBy: shape.heads)
      let count = min(shape.queries - first, range.upperBound - row)
      let delta = keys.first(batchRow) - queries.first(batchRow) - first
      plan.backend.addByDistance(
        unsafe DistanceTile(
          logits: logits + row &* shape.keys &* element.byteCount, element: element,
          table: table + (head &* headStride + delta), rows: count, columns: shape.keys,
          stride: shape.keys, visible: isCausal ? 1 - delta : .max, overwrites: overwrites), plan)
      row += count
    }
  }
}

extension Places {
  /// Whether each sequence's positions follow one another, and where the first stands is known.
  var areConsecutive: Bool {
    switch self {
    case .sequential, .offsets: true
    case .explicit, .packed, .mask: false
    }
  }

  /// Whether all sequences stand alike.
  @inline(__always)
  var isSequential: Bool { if case .sequential = self { true } else { false } }

  /// The first position of sequence `row`, where positions are consecutive.
  @inline(__always)
  func first(_ row: Int) -> Int {
    switch self {
    case .sequential(let offset): offset
    case .offsets(let offsets): unsafe Int(offsets[row])
    case .explicit, .packed, .mask: 0
    }
  }
}

extension DistanceTable {
  /// Checks the call and runs it; nothing has been written when this throws.
  func run(
    _ kernels: Kernels, _ logits: Elements, _ shape: AttentionShape,
    _ queries: (ids: PositionIDs, places: Places), _ keys: (ids: PositionIDs, places: Places),
    _ mask: AttentionMask, overwrites: Bool
  ) throws(EmbedError) {
    let count = try shape.check()
    guard logits.count == count else {
      throw .wrongElementCount(
        argument: "logits", expected: count, shape: shape.dimensions, actual: logits.count)
    }
    let places = try BiasPlaces(
      heads: heads, positions: positions, name: formula.name, shape, queries.ids, keys.ids,
      queries.places, keys.places)
    let bytes = count &* logits.type.byteCount
    let rows = shape.batch &* shape.heads &* shape.queries
    let plan = try Plan(
      kernels, outputBytes: bytes, rows: rows, dim: max(1, shape.keys),
      isInCache: bytes < kernels.limits.streamingBytes)
    guard count > 0, let base = unsafe logits.base else { return }
    try prepare(places.reach)
    let (first, headStride) = unsafe entries
    let pass = unsafe DistancePass(
      shape: shape, queries: queries.places, keys: keys.places, isCausal: mask.contains(.causal),
      overwrites: overwrites, logits: UnsafeMutableRawPointer(mutating: base),
      element: logits.type, table: first, headStride: headStride, plan: plan)
    Threads.split(rows, plan.threads, pass)
  }
}
