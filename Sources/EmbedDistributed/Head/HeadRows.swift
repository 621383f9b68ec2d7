// A row of logits by blocks: powers of each block from its own largest logit, put together in the order of the
// blocks.
//
//     most = max(most[c]);  sum = sum(sum[c] * e^(most[c] - most));  loss = log(sum) + most - logit of the target

internal import CKernels
internal import CSystem
internal import EmbedKernel

/// The C kernels of a head.
@safe struct HeadKernels: Sendable {
  nonisolated(unsafe) let table: UnsafePointer<ek_kernels>

  /// - Throws: `unsupported` for a table that is not in blocks, `invalidValue`, `invalidSize`,
  ///   `unavailableLibrary`, `invalidEnvironment`, `unavailableInstructionSet`.
  init(_ head: ShardedTable, _ scale: Float, _ threads: Int?) throws(EmbedError) {
    guard case .rowBlocks(let size) = head.sharding else {
      throw .unsupported(
        argument: "sharding of the head's table", value: "\(head.sharding)",
        expected: "rowBlocks, which decide the sums")
    }
    guard scale.isFinite else {
      throw .invalidValue(
        argument: "logit scale", value: Double(scale), expected: "a finite number")
    }
    for (name, value) in [("threads", threads ?? 1), ("rows of a block", size)]
    where value < 1 || value > Int(Int32.max) {
      throw .invalidSize(argument: name, value: value, expected: "1...\(Int32.max)")
    }
    // Targets are kept in 32 bits.
    guard head.rows <= Int(Int32.max) else {
      throw .invalidSize(
        argument: "vocabulary of a head", value: head.rows, expected: "at most \(Int32.max)")
    }
    try OpenBLASLibrary.open()
    let set = try InstructionSet.ofProcess
    guard let kernels = unsafe set.kernels else { throw .unavailableInstructionSet(set) }
    unsafe table = kernels
  }
}

/// What all ranks say of some rows.
@safe struct BlockRows {
  let count: Int
  let blockCount: Int
  /// Largest logit and sum of powers, `[blocks, count]`.
  let parts: UnsafeMutablePointer<SIMD2<Float>>
  /// Logits of targets, `[ranks, count]`, of which the target's rank has the right one.
  let aims: UnsafeMutablePointer<Float>
  let targets: UnsafeMutablePointer<Int32>
  let blockSize: Int
  let ranks: Int

  /// The row's largest logit, and the sum of its powers from there.
  func whole(_ row: Int) -> (most: Float, sum: Double) {
    var most = -Float.infinity
    for block in 0..<blockCount {
      let part = unsafe parts[block * count + row].x
      // What is not a number stays one.
      if !(part <= most) { most = part }
    }
    var sum = 0.0
    for block in 0..<blockCount {
      let part = unsafe parts[block * count + row]
      sum += Double(part.y) * exp(Double(part.x) - Double(most))
    }
    return (most, sum)
  }

  func loss(_ row: Int) -> Float {
    let (most, sum) = whole(row)
    let block = unsafe Int(targets[row]) / blockSize
    let rank = Partition.owner(of: block, blockCount, ranks).rank
    let aim = unsafe aims[rank * count + row]
    return Float(log(sum) + (Double(most) - Double(aim)))
  }
}

/// The powers of a block's logits, in their place.
@safe struct PowersOfBlock: ParallelWork {
  let kernels: HeadKernels
  let logits: StridedMatrix
  let targets: UnsafeMutablePointer<Int32>
  /// The first id of the block.
  let first: Int
  let parts: UnsafeMutablePointer<SIMD2<Float>>
  let aims: UnsafeMutablePointer<Float>

  func run(_ range: Range<Int>) {
    for row in range {
      let values = unsafe logits.base + row * logits.stride
      let target = unsafe Int(targets[row]) - first
      if target >= 0, target < logits.columns { unsafe aims[row] = values[target] }
      var most: Float = 0
      let sum = unsafe kernels.table.pointee.powers(values, logits.columns, &most)
      unsafe parts[row] = SIMD2(most, sum)
    }
  }
}

/// The gradient of a block's logits, in the place of their powers.
@safe struct GradientOfBlock: ParallelWork {
  let kernels: HeadKernels
  let logits: StridedMatrix
  let rows: BlockRows
  let block: Int
  let weight: Float

  func run(_ range: Range<Int>) {
    for row in range {
      let values = unsafe logits.base + row * logits.stride
      let (most, sum) = rows.whole(row)
      let own = unsafe rows.parts[block * rows.count + row].x
      let factor = Float(Double(weight) * exp(Double(own) - Double(most)) / sum)
      unsafe kernels.table.pointee.scale_row(values, logits.columns, factor)
      let target = unsafe Int(rows.targets[row]) - block * rows.blockSize
      if target >= 0, target < logits.columns { unsafe values[target] -= weight }
    }
  }
}
