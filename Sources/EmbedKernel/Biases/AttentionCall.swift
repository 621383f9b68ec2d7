// A call on attention logits, checked once for every bias: sizes, memory, and where queries and keys
// stand. Nothing has been written when a check throws.
//
// A lane is one head of one sequence, counted over `[batch, heads]`.

/// A checked call: logits[b, h, i, j] += bias(h, place(b, i), place(b, j)), or minus infinity.
@safe package struct AttentionCall {
  package let shape: AttentionShape
  package let queries: Places
  package let keys: Places
  let mask: AttentionMask
  package let reach: BiasReach
  /// Write rather than add.
  let overwrites: Bool
  /// The first logit, of type `element`.
  package let logits: UnsafeMutableRawPointer
  package let element: ElementType
  /// The floats of a query's or a key's vector; 0 where there are none.
  let dim: Int
  package let vectors: AttentionVectors
  package let plan: Plan

  /// The address of a logit.
  @inline(__always)
  func logit(_ lane: Int, _ query: Int, _ key: Int) -> UnsafeMutableRawPointer {
    let row = lane &* shape.queries &+ query
    return unsafe logits + (row &* shape.keys &+ key) &* element.byteCount
  }
}

/// The vectors of queries and keys, where a call has any.
@usableFromInline
@safe package struct AttentionVectors {
  package var queries: UnsafeBufferPointer<Float>?
  /// Nil where they are not read.
  package var keys: UnsafeBufferPointer<Float>?

  @usableFromInline
  package init(
    queries: UnsafeBufferPointer<Float>? = nil, keys: UnsafeBufferPointer<Float>? = nil
  ) {
    unsafe self.queries = queries
    unsafe self.keys = keys
  }
}

extension AttentionBias {
  /// Checks a call with this bias and gives it to `body`, which is not called where there are no
  /// logits.
  @inline(__always)
  package func withCall(
    _ kernels: Kernels, _ logits: Elements, _ shape: AttentionShape,
    _ queries: PositionIDs, _ keys: PositionIDs, _ mask: AttentionMask = [],
    _ vectors: AttentionVectors = unsafe AttentionVectors(), overwrites: Bool = false,
    _ body: (AttentionCall) throws(EmbedError) -> Void
  ) throws(EmbedError) {
    let count = try shape.check()
    try check("logits", logits.count, count, shape.dimensions)
    let bytes = count &* logits.type.byteCount
    let rows = shape.batch &* shape.heads &* shape.queries
    let dim = headDim ?? 0
    if dim > 0 {
      try checkVectors(vectors, shape, dim, written: unsafe Memory(logits.base, bytes))
    }
    try checkPlaces(shape, queries, keys)
    try queries.withPlaces(context: shape.queries) { (queries) throws(EmbedError) in
      try keys.withPlaces(context: shape.keys) { (keys) throws(EmbedError) in
        guard queries.isPacked == keys.isPacked else { throw .unpairedDocuments }
        // A table's additions have the same bits in every instruction set, products do not: where
        // those are made follows from their shape alone.
        let plan = try Plan(
          kernels, outputBytes: bytes, rows: rows, dim: max(1, shape.keys),
          byAVX2: distanceTable == nil ? nil : bytes < kernels.limits.streamingBytes)
        guard count > 0, let base = unsafe logits.base else { return }
        let reach = shape.reach(queries, keys)
        try prepare(reach)
        try body(
          unsafe AttentionCall(
            shape: shape, queries: queries, keys: keys, mask: mask, reach: reach,
            overwrites: overwrites, logits: UnsafeMutableRawPointer(mutating: base),
            element: logits.type, dim: dim, vectors: vectors, plan: plan))
      }
    }
  }

  private func checkVectors(
    _ vectors: AttentionVectors, _ shape: AttentionShape, _ dim: Int, written: Memory
  ) throws(EmbedError) {
    try unsafe checkVectors("query vectors", vectors.queries, shape, shape.queries, dim, written)
    // Keys that are not read are not given.
    guard let keys = unsafe vectors.keys else { return }
    try unsafe checkVectors("key vectors", keys, shape, shape.keys, dim, written)
  }

  private func checkVectors(
    _ name: String, _ vectors: UnsafeBufferPointer<Float>?, _ shape: AttentionShape,
    _ tokens: Int, _ dim: Int, _ written: Memory
  ) throws(EmbedError) {
    let count = unsafe vectors?.count ?? 0
    try check(
      name, count,
      elementCount(name, elementCount(name, shape.batch, shape.heads, tokens), dim),
      [shape.batch, shape.heads, tokens, dim])
    if written.overlaps(unsafe Memory(vectors?.baseAddress, count * 4)) {
      throw .overlappingMemory(argument: name)
    }
  }

  @inline(__always)
  private func checkPlaces(
    _ shape: AttentionShape, _ queries: PositionIDs, _ keys: PositionIDs
  ) throws(EmbedError) {
    if let heads, heads != shape.heads {
      throw .invalidSize(
        argument: "heads", value: shape.heads, expected: "\(heads), as the \(name) bias has")
    }
    let maximum = min(positions ?? .max, Int(Int32.max))
    try queries.requireBelow(maximum, batch: shape.batch, context: shape.queries)
    try keys.requireBelow(maximum, batch: shape.batch, context: shape.keys)
  }

  /// Throws where `argument` has another number of elements than `shape` says.
  @inline(__always)
  func check(
    _ argument: String, _ actual: Int, _ expected: Int, _ shape: @autoclosure () -> [Int]
  ) throws(EmbedError) {
    guard actual == expected else {
      throw .wrongElementCount(
        argument: argument, expected: expected, shape: shape(), actual: actual)
    }
  }
}

extension AttentionShape {
  /// Checks the sizes and that their product can be addressed.
  ///
  /// - Returns: The number of logits.
  fileprivate func check() throws(EmbedError) -> Int {
    guard heads > 0 else {
      throw .invalidSize(argument: "heads", value: heads, expected: "1 or more")
    }
    guard batch >= 0 else { throw invalid("batch", batch) }
    guard queries >= 0 else { throw invalid("queries", queries) }
    guard keys >= 0 else { throw invalid("keys", keys) }
    return try elementCount("logits", elementCount("logits", batch, heads), queries, keys)
  }

  private func invalid(_ argument: String, _ value: Int) -> EmbedError {
    .invalidSize(argument: argument, value: value, expected: "0 or more")
  }

  /// How far keys stand from queries.
  fileprivate func reach(_ queries: Places, _ keys: Places) -> BiasReach {
    var reach = BiasReach(past: 0, future: 0)
    guard queries.areConsecutive && keys.areConsecutive else {
      guard let q = queries.bounds(context: self.queries, in: 0..<batch * self.queries),
        let k = keys.bounds(context: self.keys, in: 0..<batch * self.keys)
      else { return reach }
      return BiasReach(
        past: max(0, q.upperBound - k.lowerBound), future: max(0, k.upperBound - q.lowerBound))
    }
    // Each sequence against its own keys, however far other sequences stand from it.
    let areAlike = queries.isSequential && keys.isSequential
    for row in 0..<(areAlike ? 1 : batch) {
      let delta = keys.first(row) - queries.first(row)
      reach.past = max(reach.past, self.queries - 1 - delta)
      reach.future = max(reach.future, delta + self.keys - 1)
    }
    return reach
  }
}
