// A divided table's values: drawn, taken from a whole table, or gathered into one.

public import EmbedKernel

extension ShardedTable {
  /// Draws this rank's part of what a whole table of the same seed and stream is.
  func fill(
    _ initialization: Initialization, seed: UInt64, stream: UInt64
  ) throws(DistributedError) {
    var scratch = try Scratch<Float>()
    let shard = unsafe self.shard.memory
    let columns = columns
    try forEachRun { (local, row, count) throws(DistributedError) in
      // A block of the generator is four elements, and begins at a multiple of four.
      let start = row * dim
      let offset = start % 4
      let elements = count * dim + offset
      try scratch.reserve(elements)
      let drawn = unsafe UnsafeMutableBufferPointer(start: scratch.base, count: elements)
      try unsafe DistributedError.wrapping(
        try initialization.fill(drawn, seed: seed, stream: stream, from: start - offset))
      for i in 0..<count {
        let from = unsafe scratch.base + offset + i * dim + columns.lowerBound
        unsafe (shard.baseAddress.unsafelyUnwrapped + (local + i) * columns.count)
          .update(from: from, count: columns.count)
      }
    }
  }

  /// Copies this rank's part of a whole table of the same sizes.
  package func take(_ table: EmbeddingTable<Float>) {
    let whole = unsafe table.unsafeBuffer
    unsafe copyRows(from: UnsafePointer(whole.baseAddress.unsafelyUnwrapped))
  }

  /// Copies this rank's part of the whole table's elements.
  func copyRows(from whole: UnsafePointer<Float>) {
    let shard = unsafe self.shard.unsafeBuffer.baseAddress.unsafelyUnwrapped
    let columns = columns
    for local in 0..<rowCount {
      let from = unsafe whole + row(local) * dim + columns.lowerBound
      unsafe (shard + local * columns.count).update(from: from, count: columns.count)
    }
  }

  /// Calls `body(local, row, count)` for runs of this rank's rows that follow on each other in the whole
  /// table too; a run has some million elements at most.
  func forEachRun<Failure: Error>(
    _ body: (_ local: Int, _ row: Int, _ count: Int) throws(Failure) -> Void
  ) throws(Failure) {
    let most = max(1, (1 << 20) / dim)
    var local = 0
    while local < rowCount {
      let first = row(local)
      var count = 1
      while local + count < rowCount, count < most, row(local + count) == first + count {
        count += 1
      }
      try body(local, first, count)
      local += count
    }
  }

  /// The whole table, on every rank: `rows * dim * 4` bytes on each. All ranks call.
  ///
  /// - Throws: `invalid` or `refused` where memory ends.
  public func gathered() throws(DistributedError) -> EmbeddingTable<Float> {
    var made: EmbeddingTable<Float>?
    var parts: AlignedBuffer<Float>
    var fault: DistributedError?
    do throws(EmbedError) {
      made = try EmbeddingTable(rows: rows, dim: dim)
      parts = try AlignedBuffer(count: rows * dim)
    } catch {
      fault = .invalid(error)
      parts = try DistributedError.wrapping(try AlignedBuffer(count: 0))
    }
    try communicator.share(fault, "gathering of a table")
    guard let table = made else { throw .broken(operation: "gathering of a table") }

    let own = unsafe shard.unsafeBuffer
    var start = 0
    for peer in 0..<partition.ranks {
      let count = partition.rowCount(of: peer) * partition.columns(of: peer).count
      unsafe pieces.send(own.baseAddress, bytes: rowCount * columns.count * 4, to: peer)
      unsafe pieces.receive(
        parts.unsafeBuffer.baseAddress.map { unsafe $0 + start }, bytes: count * 4, from: peer)
      start += count
    }
    try communicator.run(pieces, "gathering of a table")

    let whole = unsafe table.unsafeBuffer.baseAddress.unsafelyUnwrapped
    start = 0
    for peer in 0..<partition.ranks {
      let columns = partition.columns(of: peer)
      for local in 0..<partition.rowCount(of: peer) {
        let to = unsafe whole + partition.row(local, of: peer) * dim + columns.lowerBound
        let from = unsafe parts.unsafeBuffer.baseAddress.unsafelyUnwrapped + start
        unsafe to.update(from: from, count: columns.count)
        start += columns.count
      }
    }
    return table
  }
}
