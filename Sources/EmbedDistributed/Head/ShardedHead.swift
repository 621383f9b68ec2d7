// The output head over ranks: each has the logits of its rows of the vocabulary, for the tokens of all ranks
// (Shoeybi et al., "Megatron-LM", 2019). Cross entropy takes each block's largest logit and sum of powers;
// blocks, not ranks, decide which sums are made.
//
//     logits = scale * hidden * table^T;   loss[n] = log(sum(e^logits[n])) - logits[n, target]
//
// n rows of hidden state of this rank, N of all, V vocabulary in C blocks of S rows, D dim, R ranks.

public import EmbedKernel

/// Logits and cross entropy against a table whose vocabulary is divided over ranks.
///
/// The global batch is the ranks' rows one after another. Losses and gradients have the same bits on any number of
/// ranks; another size of blocks has other last bits. All ranks call in the same order; a value of this class
/// belongs to one thread at a time.
public final class ShardedHead {
  /// The table of the vocabulary, which the input embedding may share.
  public let table: ShardedTable

  /// Multiplies the logits: 1, or `1 / sqrt(dim)` as in T5.
  public let scale: Float

  /// The token whose row is never moved.
  public let paddingID: Int?

  let communicator: Communicator
  let threads: Int
  let kernels: HeadKernels
  /// The rows of a block of the vocabulary, and of the batch.
  let blockSize: Int
  let batchRows: Int
  private let blockCount: Int
  private let blocks: Range<Int>
  private let sums: OrderedSums
  private let pieces: Exchange

  // Of a block of the batch: `[B, D]`, `[B]`, `[C, B]`, `[R, B]`, `[blocks, B, S]` and sums of `[B, D]`.
  private var hidden: Scratch<Float>
  private var targets: Scratch<Int32>
  private var parts: Scratch<SIMD2<Float>>
  private var aims: Scratch<Float>
  private var logits: Scratch<Float>
  private var vectors: Scratch<Float>

  /// 100 MiB of logits of all ranks at a time.
  private static let mostLogits = 25 << 20

  /// A head that shares a layer's token table, which is divided into blocks (`Sharding.rowBlocks`).
  ///
  /// - Parameter threads: The threads of a call; nil for all CPUs.
  /// - Throws: `disagreement` where ranks differ, also in their CPUs' kernels; `invalid` or `refused` for a
  ///   table that is not in blocks, a scale that is not finite, or where OpenBLAS is missing; on all ranks.
  public convenience init(
    tiedTo layer: ShardedEmbedding, scale: Float = 1, threads: Int? = nil
  ) throws(DistributedError) {
    try self.init(
      tiedTo: layer, scale: scale, threads: threads, batchRows: Self.batchRows(layer.vocabulary))
  }

  /// By the whole vocabulary: ranks' products then have one shape on any number of them.
  private static func batchRows(_ vocabulary: Int) -> Int { max(64, mostLogits / vocabulary) }

  /// The same with blocks of so many rows of the batch.
  package convenience init(
    tiedTo layer: ShardedEmbedding, scale: Float, threads: Int?, batchRows: Int
  ) throws(DistributedError) {
    try self.init(
      layer.tokens, paddingID: layer.paddingID, scale: scale, threads: threads,
      batchRows: batchRows)
  }

  /// A head of a table of its own.
  package convenience init(
    _ table: ShardedTable, threads: Int?
  ) throws(DistributedError) {
    try self.init(
      table, paddingID: nil, scale: 1, threads: threads, batchRows: Self.batchRows(table.rows))
  }

  private init(
    _ table: ShardedTable, paddingID: Int?, scale: Float, threads: Int?, batchRows: Int
  ) throws(DistributedError) {
    let communicator = table.communicator
    try communicator.agree(
      [
        ("scale of logits", "\(scale)"), ("table", "\(table.rows)x\(table.dim), \(table.sharding)"),
      ] + Communicator.kernelFacts)
    var fault: DistributedError?
    var kernels: HeadKernels?
    do throws(EmbedError) {
      kernels = try HeadKernels(table, scale, threads)
    } catch {
      fault = .invalid(error)
    }
    try communicator.share(fault, "making of a head")
    guard let kernels, case .rowBlocks(let size) = table.sharding else {
      throw .broken(operation: "making of a head")
    }
    self.table = table
    self.scale = scale
    self.communicator = communicator
    self.kernels = kernels
    self.paddingID = paddingID
    blockSize = size
    self.threads = min(threads ?? Threads.available, 256)
    self.batchRows = batchRows
    blockCount = (table.rows - 1) / size + 1
    blocks = Partition.share(blockCount, communicator.size, communicator.rank)
    sums = try OrderedSums(
      leaves: blockCount, threads: self.threads, over: communicator,
      "exchange of hidden gradients")
    pieces = Exchange(ranks: communicator.size)
    hidden = try Scratch()
    targets = try Scratch()
    parts = try Scratch()
    aims = try Scratch()
    logits = try Scratch()
    vectors = try Scratch()
  }

  /// Zeros for the gradient of this rank's part of the table.
  ///
  /// - Throws: `invalid` where memory ends.
  public func makeGradient() throws(DistributedError) -> TableGradient {
    try DistributedError.wrapping(try TableGradient(for: table.shard))
  }

  /// What the gradients of a call are written to.
  @safe struct Gradients {
    let hidden: UnsafeMutablePointer<Float>
    let table: UnsafeMutablePointer<Float>
    let writing: GradientWriting
    let weight: Float
  }

  /// What ranks tell each other before a call's data move.
  private struct Word: BitwiseCopyable {
    /// Whether there are gradients, how they are written, and their weight's bits.
    var call: SIMD3<UInt32>
    var rows: Int
  }

  /// Runs a call of checked arguments, or throws what is wrong with a rank's on all.
  ///
  /// - Returns: The mean loss of all ranks' rows.
  func run(
    _ states: UnsafePointer<Float>?, _ ids: TokenIDs, _ rows: Int,
    losses: UnsafeMutablePointer<Float>?, _ gradients: Gradients?, _ fault: DistributedError?
  ) throws(DistributedError) -> Double {
    let call = SIMD3(
      gradients == nil ? 0 : 1, gradients?.writing == .accumulate ? 1 : 0,
      gradients?.weight.bitPattern ?? 0)
    let word = Word(call: call, rows: rows)
    let words = try communicator.meet(
      [Word](repeating: word, count: communicator.size), fault, "head")
    if words.contains(where: { $0.call != call }) {
      try communicator.agree([
        ("gradients", "\(gradients != nil)"), ("their writing", "\(call.y)"),
        ("their weight", "\(gradients?.weight ?? 0)"),
      ])
    }
    let starts = words.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.rows) }
    let count = starts[communicator.size]
    guard count > 0 else {
      throw .invalid(
        .invalidSize(argument: "rows of all ranks", value: 0, expected: "1 or more"))
    }
    try reserve(count)
    var loss = 0.0
    var start = 0
    while start < count {
      let batch = start..<min(count, start + batchRows)
      let bounds = starts.map { min(max($0, batch.lowerBound), batch.upperBound) - start }
      let own = starts[communicator.rank]
      try unsafe take(states, ids, bounds, from: start - own)
      try computeLogits(batch.count, bounds)
      let rows = unsafe BlockRows(
        count: batch.count, blockCount: blockCount, parts: parts.base, aims: aims.base,
        targets: targets.base, blockSize: blockSize, ranks: communicator.size)
      for row in 0..<batch.count {
        let value = rows.loss(row)
        loss += Double(value)
        let place = start + row - own
        if place >= 0, start + row < starts[communicator.rank + 1] {
          unsafe losses?[place] = value
        }
      }
      if let gradients {
        let first = batch.lowerBound == 0 ? gradients.writing : .accumulate
        try computeGradients(
          rows, gradients, gradients.weight / Float(count), first, bounds, from: start - own)
      }
      start = batch.upperBound
    }
    if let gradients, let paddingID, let row = table.localRow(of: paddingID) {
      unsafe (gradients.table + row * table.dim).update(repeating: 0, count: table.dim)
    }
    return loss / Double(count)
  }

  /// Makes room for calls of `rows` rows of all ranks together.
  package func reserve(_ rows: Int) throws(DistributedError) {
    let (dim, rows) = (table.dim, min(rows, batchRows))
    try hidden.reserve(rows * dim)
    try targets.reserve(rows)
    try parts.reserve(rows * blockCount)
    try aims.reserve(rows * communicator.size)
    try logits.reserve(max(1, blocks.count * rows * blockSize))
    try vectors.reserve((PairTree.mostSums(of: blocks) + 1) * rows * dim)
  }

  /// The bytes of room for calls, in proportion to the largest.
  public var scratchBytes: Int {
    hidden.byteCount + targets.byteCount + parts.byteCount + aims.byteCount + logits.byteCount
      + vectors.byteCount + sums.memoryBytes
  }

  /// Gathers the states and targets of a block of the batch: `bounds` says whose rows they are.
  private func take(
    _ states: UnsafePointer<Float>?, _ ids: TokenIDs, _ bounds: [Int], from offset: Int
  ) throws(DistributedError) {
    let (rank, dim) = (communicator.rank, table.dim)
    for row in bounds[rank]..<bounds[rank + 1] {
      unsafe targets.base[row] = Int32(truncatingIfNeeded: ids[offset + row])
    }
    for peer in 0..<communicator.size {
      let (own, theirs) = (bounds[rank], bounds[peer])
      unsafe pieces.send(
        targets.base + own, bytes: 4 * (bounds[rank + 1] - own), to: peer)
      unsafe pieces.receive(
        targets.base + theirs, bytes: 4 * (bounds[peer + 1] - theirs), from: peer)
    }
    try communicator.run(pieces, "exchange of targets")
    for peer in 0..<communicator.size {
      let (own, theirs) = (bounds[rank], bounds[peer])
      unsafe pieces.send(
        states.map { unsafe UnsafeRawPointer($0 + (offset + own) * dim) },
        bytes: 4 * dim * (bounds[rank + 1] - own), to: peer)
      unsafe pieces.receive(
        hidden.base + theirs * dim, bytes: 4 * dim * (bounds[peer + 1] - theirs), from: peer)
    }
    try communicator.run(pieces, "exchange of hidden states")
  }

  /// This rank's block `index` of the vocabulary: where it begins among its rows, and how many it has.
  private func block(_ index: Int) -> Range<Int> {
    let first = blocks.lowerBound * blockSize
    let start = index * blockSize
    return start - first..<min(table.rows, start + blockSize) - first
  }

  private func tableRows(_ block: Range<Int>, _ base: UnsafeMutablePointer<Float>) -> StridedMatrix
  {
    unsafe StridedMatrix(base + block.lowerBound * table.dim, block.count, table.dim)
  }

  /// The logits of a block of this rank's, one after another.
  private func logits(_ index: Int, _ rows: Int) -> StridedMatrix {
    unsafe StridedMatrix(
      logits.base + (index - blocks.lowerBound) * rows * blockSize, rows, block(index).count)
  }

  /// Computes this rank's blocks and gathers what all say of each row: largest logit, sum of powers, and the
  /// logit of its target.
  private func computeLogits(_ rows: Int, _ bounds: [Int]) throws(DistributedError) {
    let shard = unsafe table.shard.unsafeBuffer.baseAddress.unsafelyUnwrapped
    let states = unsafe StridedMatrix(hidden.base, rows, table.dim)
    let own = unsafe aims.base + communicator.rank * rows
    unsafe own.update(repeating: 0, count: rows)
    try DistributedError.wrapping(
      try OneThreadedBLAS.run { () throws(EmbedError) in
        for index in blocks {
          let target = logits(index, rows)
          MatrixProduct.multiply(
            states, unsafe tableRows(block(index), shard).transposed, scale: scale, .overwrite,
            target, threads: threads)
          unsafe PowersOfBlock(
            kernels: kernels, logits: target, targets: targets.base, first: index * blockSize,
            parts: parts.base + index * rows, aims: own
          ).split(rows, threads)
        }
      })
    for peer in 0..<communicator.size {
      let theirs = Partition.share(blockCount, communicator.size, peer)
      unsafe pieces.send(
        parts.base + blocks.lowerBound * rows, bytes: 8 * blocks.count * rows, to: peer)
      unsafe pieces.receive(
        parts.base + theirs.lowerBound * rows, bytes: 8 * theirs.count * rows, from: peer)
    }
    try communicator.run(pieces, "exchange of sums")
    for peer in 0..<communicator.size {
      unsafe pieces.send(own, bytes: 4 * rows, to: peer)
      unsafe pieces.receive(aims.base + peer * rows, bytes: 4 * rows, from: peer)
    }
    try communicator.run(pieces, "exchange of target logits")
  }

  private func computeGradients(
    _ rows: BlockRows, _ gradients: Gradients, _ weight: Float, _ writing: GradientWriting,
    _ bounds: [Int], from offset: Int
  ) throws(DistributedError) {
    let dim = table.dim
    let shard = unsafe table.shard.unsafeBuffer.baseAddress.unsafelyUnwrapped
    let states = unsafe StridedMatrix(hidden.base, rows.count, dim)
    var made: [PairSum] = []
    try DistributedError.wrapping(
      try OneThreadedBLAS.run { () throws(EmbedError) in
        for index in blocks {
          let (logits, block) = (logits(index, rows.count), block(index))
          GradientOfBlock(
            kernels: kernels, logits: logits, rows: rows, block: index, weight: weight
          ).split(rows.count, threads)
          MatrixProduct.multiply(
            logits, unsafe tableRows(block, shard), scale: scale, .overwrite,
            vector(made.count, rows.count), threads: threads)
          made.append(PairSum(leaf: index))
          while PairTree.joinLast(&made) {
            unsafe sums.add(
              UnsafePointer(vector(made.count, rows.count).base),
              to: vector(made.count - 1, rows.count).base, rows.count * dim)
          }
          MatrixProduct.multiply(
            logits.transposed, states, scale: scale, writing,
            unsafe tableRows(block, gradients.table), threads: threads)
        }
      })
    let result = try unsafe sums.run(
      made.indices.map { unsafe vector($0, rows.count).base }, bounds: bounds.map { $0 * dim })
    let (first, end) = (bounds[communicator.rank], bounds[communicator.rank + 1])
    unsafe (gradients.hidden + (offset + first) * dim).update(
      from: result + (communicator.size == 1 ? first * dim : 0), count: (end - first) * dim)
  }

  /// Room for a sum of hidden gradients.
  private func vector(_ index: Int, _ rows: Int) -> StridedMatrix {
    unsafe StridedMatrix(vectors.base + index * rows * table.dim, rows, table.dim)
  }
}
