// A checked backward call: the same blocks as forward, head by head, so that each head's sums are its
// own.

/// Where the gradients of the vectors go, or none.
@usableFromInline
@safe package struct AttentionGradients {
  package var queries: UnsafeMutableBufferPointer<Float>?
  package var keys: UnsafeMutableBufferPointer<Float>?

  @usableFromInline
  package init(
    queries: UnsafeMutableBufferPointer<Float>? = nil,
    keys: UnsafeMutableBufferPointer<Float>? = nil
  ) {
    unsafe self.queries = queries
    unsafe self.keys = keys
  }
}

/// The heads of a backward call.
@safe private struct BiasGradientBlocks: ParallelWork {
  let blocks: BiasBlocks
  let bias: any TrainedBias
  /// `sumCount` floats a head.
  let sums: UnsafeMutablePointer<Float>
  let sumCount: Int
  let gradients: AttentionGradients

  /// Does the heads `range`.
  func run(_ range: Range<Int>) {
    let shape = blocks.call.shape
    blocks.withScratch { blocks in
      for head in range {
        for batchRow in 0..<shape.batch {
          let lane = batchRow * shape.heads + head
          blocks.forEachQueries(lane, 0..<shape.queries) { queries in
            guard queries.group != Stretch.padding else { return }
            blocks.forEachKeys(lane) { keys in
              if keys.group == queries.group { add(blocks, lane, queries, keys) }
            }
          }
        }
      }
    }
  }

  private func add(_ blocks: BiasBlocks, _ lane: Int, _ queries: Stretch, _ keys: Stretch) {
    let (shape, dim) = (blocks.call.shape, blocks.call.dim)
    unsafe blocks.forEachFloats(lane, queries, keys) { keys, floats, stride in
      if unsafe blocks.scratch != nil { unsafe blocks.widen(lane, queries, keys, to: floats) }
      guard let block = unsafe blocks.block(lane, queries, keys, floats, stride) else { return }
      unsafe bias.addGradient(
        BiasGradientBlock(
          block: block, reach: blocks.call.reach, sums: sums + block.head * sumCount,
          queryGradient: gradients.queries?.baseAddress.map {
            unsafe $0 + (lane * shape.queries + queries.column) * dim
          },
          keyGradient: gradients.keys?.baseAddress.map {
            unsafe $0 + (lane * shape.keys + keys.column) * dim
          }))
    }
  }
}

extension TrainedBias {
  /// Checks a backward call and runs it: adds to `parameters`, and to `gradients`, which are not
  /// written where this throws.
  package func addGradient(
    _ kernels: Kernels, _ logits: Elements, _ shape: AttentionShape,
    _ queries: PositionIDs, _ keys: PositionIDs, _ mask: AttentionMask = [],
    _ vectors: AttentionVectors = unsafe AttentionVectors(),
    _ gradients: AttentionGradients = unsafe AttentionGradients(), _ workspace: inout BiasWorkspace,
    into parameters: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    try check("parameter gradient", parameters.count, parameterCount, [parameterCount])
    if let gradient = unsafe gradients.queries {
      let count = unsafe vectors.queries?.count ?? 0
      try check("query gradient", gradient.count, count, [count])
    }
    if let gradient = unsafe gradients.keys {
      let count = unsafe vectors.keys?.count ?? 0
      try check("key gradient", gradient.count, count, [count])
    }
    try withCall(kernels, logits, shape, queries, keys, mask, vectors) {
      (call) throws(EmbedError) in
      let count = sumCount(call.reach)
      let sums = try unsafe workspace.zeros(elementCount("gradient sums", shape.heads, count))
      unsafe Threads.split(
        shape.heads, call.plan.threads,
        BiasGradientBlocks(
          blocks: BiasBlocks(call, self), bias: self, sums: sums, sumCount: count,
          gradients: gradients))
      for head in 0..<shape.heads {
        unsafe reduce(
          UnsafeBufferPointer(start: sums + head * count, count: count), head: head,
          reach: call.reach, into: parameters)
      }
    }
  }
}
