// The gradient of a batch that is cut into groups: each group's is computed alone, sums are made by the tree of
// groups, and each rank gets the whole sum of the stretch of parameters that it steps. MPI moves bytes, sums are
// made here: the bits follow from the number of groups, whoever has which.
//
// P floats of all parameters, G groups, R ranks, S sums that a rank is left with (at most 2 log2 G, and one where
// the ranks are a power of two that divides G). A rank sends, with p floats of its own stretch:
//
//     4 S (P - p)      its sums to those who step, in chunks: one is added up while the next is on its way
//     4 (R - 1) p      what it has stepped
//
// The gradient of a head that is divided over ranks comes of all groups at once and is added to what it steps; a table
// of its own is in no group's sum.

internal import EmbedDistributed
internal import EmbedKernel

/// The sums of groups' gradients, and their exchange.
@safe final class GroupedGradient {
  let ranks: Communicator
  let layout: ParameterLayout
  private let parts: [[ParameterLayout.Part]]
  /// The parameters whose gradients groups sum, the first of all, and their floats.
  private let summed: Int
  private let summedCount: Int
  private let summedBounds: [Int]
  /// The number of groups, and those of this rank.
  let groupCount: Int
  let groups: Range<Int>
  /// Of each group.
  var losses: AlignedBuffer<Double>

  /// The sums so far, and the vector that each stands in.
  private var made: [PairSum] = []
  private let vectors: [UnsafeMutablePointer<Float>]
  private let sums: OrderedSums
  private let pieces: Exchange
  /// The sum of all groups for this rank's stretch.
  private var total: UnsafeMutablePointer<Float>
  private let threads: Int
  private let partialSquares: UnsafeMutablePointer<ExactSumOfSquares>
  private let owner: FloatAllocator

  init(
    _ stepped: SteppedParameters, groups groupCount: Int, threads: Int, over ranks: Communicator
  ) throws(EmbedError) {
    let layout = ParameterLayout(stepped.all, ranks: ranks.size)
    let summedCount = layout.starts[stepped.summed]
    let summedBounds = layout.bounds.map { min($0, summedCount) }
    groups = Partition.share(groupCount, ranks.size, ranks.rank)
    var memory = FloatAllocator()
    var vectors: [UnsafeMutablePointer<Float>] = unsafe []
    // A rank without groups still takes the others' parameters into the first, which has room for all.
    for number in 0..<max(1, PairTree.mostSums(of: groups)) {
      unsafe vectors.append(
        try memory.floats("sums of gradients", number == 0 ? layout.count : summedCount))
    }
    do throws(DistributedError) {
      sums = try OrderedSums(
        leaves: groupCount, threads: threads, over: ranks, "exchange of gradients")
      try sums.reserve(bounds: summedBounds)
    } catch {
      throw .outOfMemory(bytes: 8 * layout.count)
    }
    unsafe total = vectors[0]
    unsafe self.vectors = vectors
    losses = try AlignedBuffer(count: groupCount)
    pieces = Exchange(ranks: ranks.size)
    unsafe partialSquares = .allocate(capacity: threads)
    unsafe partialSquares.initialize(repeating: ExactSumOfSquares(), count: threads)
    owner = memory
    self.threads = threads
    self.ranks = ranks
    self.layout = layout
    parts = (0..<ranks.size).map { layout.parts(of: $0) }
    self.groupCount = groupCount
    summed = stepped.summed
    self.summedCount = summedCount
    self.summedBounds = summedBounds
  }

  deinit { unsafe partialSquares.deallocate() }

  /// The bytes of sums, and of room for exchanges.
  var memoryBytes: Int { owner.bytes + sums.memoryBytes }

  // MARK: Groups of this rank

  /// Begins a batch.
  func removeAll() { made.removeAll(keepingCapacity: true) }

  /// Adds the gradient that the parameters hold, as that of the next group.
  func add(_ group: Int, _ parameters: [Parameter]) {
    // Half of all groups are added to the one before without being copied.
    let isPair = made.count > 0 && made[made.count - 1].join(PairSum(leaf: group))
    if !isPair { made.append(PairSum(leaf: group)) }
    let vector = unsafe vectors[made.count - 1]
    for index in 0..<summed {
      let gradient = parameters[index].gradientMatrix
      let (place, count) = unsafe (
        vector + layout.starts[index], gradient.rows * gradient.columns
      )
      if isPair {
        unsafe sums.add(UnsafePointer(gradient.base), to: place, count)
      } else {
        unsafe place.update(from: gradient.base, count: count)
      }
    }
    while PairTree.joinLast(&made) {
      unsafe sums.add(
        UnsafePointer(vectors[made.count]), to: vectors[made.count - 1], summedCount)
    }
  }

  /// The mean loss of the batch, of what its groups are of it.
  var loss: Double { (0..<groupCount).reduce(0) { $0 + losses[$1] } }

  // MARK: All ranks

  /// What ranks tell each other of a step before its data move.
  private struct Word: BitwiseCopyable {
    var step: Int
    var batch: Int
  }

  /// Meets all ranks for a step.
  ///
  /// - Parameters:
  ///   - fault: What keeps this rank from it; then all throw.
  ///   - batch: The check sum of the global batch.
  func meet(
    _ fault: EmbedError?, step: Int, batch: UInt32
  ) throws(DistributedError) {
    guard ranks.size > 1 else {
      if let fault { throw .invalid(fault) }
      return
    }
    let word = Word(step: step, batch: Int(batch))
    let words = try ranks.meet([Word](repeating: word, count: ranks.size), fault, "step")
    if words.contains(where: { $0.step != step || $0.batch != word.batch }) {
      try ranks.agree([("steps taken", "\(step)"), ("check sum of the batch", "\(batch)")])
    }
  }

  /// Gives each rank the losses of all groups.
  func shareLosses() throws(DistributedError) {
    guard ranks.size > 1 else { return }
    let base = unsafe losses.unsafeBuffer.baseAddress.unsafelyUnwrapped
    for peer in 0..<ranks.size {
      let theirs = Partition.share(groupCount, ranks.size, peer)
      unsafe pieces.send(base + groups.lowerBound, bytes: 8 * groups.count, to: peer)
      unsafe pieces.receive(base + theirs.lowerBound, bytes: 8 * theirs.count, from: peer)
    }
    try ranks.run(pieces, "exchange of losses")
  }

  /// Adds up all groups of all ranks, each rank its stretch; a divided head's gradient to it.
  func finish(_ head: DividedHead?) throws(DistributedError) {
    let sum = try unsafe sums.run(vectors, bounds: summedBounds)
    guard let head else { return unsafe total = sum }
    // Where all parameters go once they are stepped there is room for the head's part too.
    let (own, end) = (layout.stretch(of: ranks.rank), summedBounds[ranks.rank + 1])
    unsafe total = vectors[0] + own.lowerBound
    if unsafe total != sum { unsafe total.update(from: sum, count: end - summedBounds[ranks.rank]) }
    try unsafe head.giveGradient(to: total, layout)
  }

  /// The gradient of a part of this rank's stretch.
  @unsafe func gradient(_ part: ParameterLayout.Part, count: Int) -> UnsafeBufferPointer<Float> {
    unsafe UnsafeBufferPointer(
      start: total + (part.place - layout.bounds[ranks.rank]), count: count)
  }

  /// The whole gradient's norm, on every rank.
  func norm() throws(DistributedError) -> Double {
    let count = layout.stretch(of: ranks.rank).count
    Parallel.parts(
      threads, threads,
      unsafe SquareSums(floats: total, count: count, parts: threads, sums: partialSquares))
    var own = ExactSumOfSquares()
    for part in 0..<threads { unsafe own.add(partialSquares[part]) }
    return (ranks.size > 1 ? try own.total(over: ranks) : own).value.squareRoot()
  }

  /// Gives every rank the parameters that the others have stepped.
  func shareParameters(_ parameters: [Parameter]) throws(DistributedError) {
    guard ranks.size > 1 else { return }
    let vector = unsafe vectors[0]
    for part in parts[ranks.rank] {
      let matrix = parameters[part.parameter].matrix
      unsafe (vector + part.place).update(
        from: matrix.base + part.rows.lowerBound * matrix.columns,
        count: part.rows.count * matrix.columns)
    }
    let own = layout.stretch(of: ranks.rank)
    for peer in 0..<ranks.size {
      let theirs = layout.stretch(of: peer)
      unsafe pieces.send(vector + own.lowerBound, bytes: 4 * own.count, to: peer)
      unsafe pieces.receive(vector + theirs.lowerBound, bytes: 4 * theirs.count, from: peer)
    }
    try ranks.run(pieces, "exchange of parameters")
    for rank in 0..<ranks.size where rank != ranks.rank {
      for part in parts[rank] {
        let matrix = parameters[part.parameter].matrix
        unsafe (matrix.base + part.rows.lowerBound * matrix.columns).update(
          from: vector + part.place, count: part.rows.count * matrix.columns)
      }
    }
  }
}

/// The squares of floats, summed without rounding, so that it does not matter how they are cut.
@safe private struct SquareSums: PassWork {
  let floats: UnsafeMutablePointer<Float>
  let count: Int
  let parts: Int
  let sums: UnsafeMutablePointer<ExactSumOfSquares>

  func run(_ range: Range<Int>) {
    for part in range {
      let (start, end) = (part * count / parts, (part + 1) * count / parts)
      var sum = ExactSumOfSquares()
      unsafe sum.add(UnsafeBufferPointer(start: floats + start, count: end - start))
      unsafe sums[part] = sum
    }
  }
}
