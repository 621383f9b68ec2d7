// The walk of the backward pass: the same blocks as forward, head by head, so that each head's sums
// are its own.

/// A checked backward call.
@safe struct BiasGradientPass: ParallelWork {
  let bias: any TrainedBias
  let pass: BiasPass
  /// `sumCount` floats a head.
  let sums: UnsafeMutablePointer<Float>
  let sumCount: Int
  let queryGradient: UnsafeMutablePointer<Float>?
  let keyGradient: UnsafeMutablePointer<Float>?

  /// Does the heads `range`.
  func run(_ range: Range<Int>) {
    pass.withScratch { pass in
      for head in range {
        for batchRow in 0..<pass.shape.batch { sequence(pass, batchRow, head) }
      }
    }
  }

  private func sequence(_ pass: BiasPass, _ batchRow: Int, _ head: Int) {
    let shape = pass.shape
    pass.queries.forEachStretch(
      row: batchRow, context: shape.queries, columns: 0..<shape.queries
    ) { queries in
      guard queries.group != Stretch.padding else { return }
      var done = 0
      while done < queries.count {
        let block = queries.part(done, BiasPass.blockRows)
        pass.keys.forEachStretch(row: batchRow, context: shape.keys, columns: 0..<shape.keys) {
          if $0.group == block.group { pair(pass, batchRow, head, block, $0) }
        }
        done += block.count
      }
    }
  }

  private func pair(
    _ pass: BiasPass, _ batchRow: Int, _ head: Int, _ queries: Stretch, _ keys: Stretch
  ) {
    guard let scratch = unsafe pass.scratch else {
      return unsafe add(
        batchRow, head, queries, keys,
        pass.address(batchRow, head, queries.column, keys.column)
          .assumingMemoryBound(to: Float.self), pass.shape.keys)
    }
    var done = 0
    while done < keys.count {
      let part = keys.part(done, BiasPass.blockColumns)
      unsafe pass.widen(batchRow, head, queries, part, to: scratch)
      unsafe add(batchRow, head, queries, part, scratch, BiasPass.blockColumns)
      done += part.count
    }
  }

  private func add(
    _ batchRow: Int, _ head: Int, _ queries: Stretch, _ keys: Stretch,
    _ gradient: UnsafeMutablePointer<Float>, _ stride: Int
  ) {
    guard let block = unsafe pass.block(batchRow, head, queries, keys, gradient, stride) else {
      return
    }
    let (shape, dim) = (pass.shape, pass.content.dim)
    let lane = batchRow * shape.heads + head
    unsafe bias.addGradient(
      BiasGradientBlock(
        block: block, reach: pass.reach, sums: sums + head * sumCount,
        queryGradient: queryGradient.map {
          unsafe $0 + (lane * shape.queries + queries.column) * dim
        },
        keyGradient: keyGradient.map { unsafe $0 + (lane * shape.keys + keys.column) * dim }))
  }
}
