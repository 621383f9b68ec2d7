// The gradient of a batch that is cut into groups: each group's is computed alone, sums are made by the tree of
// groups, and each rank gets the whole sum of the stretch of parameters that it steps. MPI moves bytes, sums are
// made here: the bits follow from the number of groups, whoever has which.
//
// P floats of all parameters, G groups, R ranks, S sums that a rank is left with (at most 2 log2 G, and one where
// the ranks are a power of two that divides G). A rank sends, with p floats of its own stretch:
//
//     4 S (P - p)      its sums to those who step, in chunks: one is added up while the next is on its way
//     4 (R - 1) p      what it has stepped

internal import EmbedDistributed
internal import EmbedKernel

/// The sums of groups' gradients, and their exchange.
@safe final class GroupedGradient {
  let ranks: Communicator
  let layout: ParameterLayout
  private let parts: [[ParameterLayout.Part]]
  /// The number of groups, and those of this rank.
  let groupCount: Int
  let groups: Range<Int>
  /// Of each group.
  var losses: AlignedBuffer<Double>

  /// The sums so far, and the vector that each stands in; some memory is of no use to any but the first steps.
  private var sums: [GroupSum] = []
  private let vectors: [UnsafeMutablePointer<Float>]
  /// How many sums ranks have: rank r's are `firsts[r]..<firsts[r + 1]` of all.
  private let firsts: [Int]
  private let additions: [GroupTree.Addition]
  /// `[2, sums of all ranks, chunk]`.
  private let arrived: UnsafeMutablePointer<Float>
  private let chunk: Int
  private let pieces: Exchange
  /// The sum of all groups for this rank's stretch.
  private let total: UnsafeMutablePointer<Float>
  private let threads: Int
  private let partialSquares: UnsafeMutablePointer<ExactSumOfSquares>
  private let owner: FloatAllocator
  let memoryBytes: Int

  /// The floats of a message.
  private static let longestChunk = 1 << 18

  init(
    _ parameters: [Parameter], groups groupCount: Int, threads: Int, over ranks: Communicator
  ) throws(EmbedError) {
    let layout = ParameterLayout(parameters, ranks: ranks.size)
    let shares = (0..<ranks.size).map { ParameterLayout.part(groupCount, ranks.size, $0) }
    let sums = shares.map { GroupTree.sums(of: $0) }
    firsts = sums.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.count) }
    additions = GroupTree.additions(sums.flatMap { $0 })
    groups = shares[ranks.rank]
    var memory = FloatAllocator()
    var vectors: [UnsafeMutablePointer<Float>] = unsafe []
    // A rank without groups still takes the others' parameters into one.
    for _ in 0..<max(1, GroupTree.mostSums(of: groups)) {
      unsafe vectors.append(try memory.floats("sums of gradients", layout.count))
    }
    let stretch = layout.stretch(of: ranks.rank).count
    chunk = max(1, min(layout.longestStretch, Self.longestChunk))
    if ranks.size > 1 {
      unsafe arrived = try memory.floats("sums of ranks", 2, firsts[ranks.size], chunk)
      unsafe total = try memory.floats("sum of gradients", max(1, stretch))
    } else {
      unsafe (arrived, total) = (vectors[0], vectors[0])
    }
    unsafe self.vectors = vectors
    losses = try AlignedBuffer(count: groupCount)
    pieces = Exchange(ranks: ranks.size)
    unsafe partialSquares = .allocate(capacity: threads)
    unsafe partialSquares.initialize(repeating: ExactSumOfSquares(), count: threads)
    owner = memory
    memoryBytes = memory.bytes
    self.threads = threads
    self.ranks = ranks
    self.layout = layout
    parts = (0..<ranks.size).map { layout.parts(of: $0) }
    self.groupCount = groupCount
  }

  deinit { unsafe partialSquares.deallocate() }

  // MARK: Groups of this rank

  /// Begins a batch.
  func removeAll() { sums.removeAll(keepingCapacity: true) }

  /// Adds the gradient that the parameters hold, as that of the next group.
  func add(_ group: Int, _ parameters: [Parameter]) {
    var sum = GroupSum(group: group)
    // Half of all groups are added to the one before without being copied.
    if let last = sums.last {
      sum = last
      if sum.join(GroupSum(group: group)) {
        sums[sums.count - 1] = sum
        forEach(parameters) { offset, gradient in
          unsafe add(
            UnsafePointer(gradient.base), to: vectors[sums.count - 1] + offset,
            gradient.rows * gradient.columns)
        }
        joinLast()
        return
      }
    }
    sums.append(GroupSum(group: group))
    forEach(parameters) { offset, gradient in
      unsafe (vectors[sums.count - 1] + offset)
        .update(from: gradient.base, count: gradient.rows * gradient.columns)
    }
  }

  private func forEach(_ parameters: [Parameter], _ body: (Int, StridedMatrix) -> Void) {
    for index in parameters.indices {
      body(layout.starts[index], parameters[index].gradientMatrix)
    }
  }

  private func joinLast() {
    while GroupTree.joinLast(&sums) {
      let place = sums.count - 1
      unsafe add(UnsafePointer(vectors[place + 1]), to: vectors[place], layout.count)
    }
  }

  private func add(
    _ floats: UnsafePointer<Float>, to sum: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    Parallel.rows(
      (count + FloatSums.unit - 1) / FloatSums.unit, threads,
      unsafe FloatSums(sum: sum, floats: floats, count: count))
  }

  /// The mean loss of the batch, of what its groups are of it.
  var loss: Double { (0..<groupCount).reduce(0) { $0 + losses[$1] } }

  // MARK: All ranks

  /// What ranks tell each other of a step before its data move.
  private struct Word: BitwiseCopyable {
    var failed: Int
    var step: Int
    var batch: Int
  }

  /// Meets all ranks for a step: gives each the losses of all groups.
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
    let word = Word(failed: fault == nil ? 0 : 1, step: step, batch: Int(batch))
    let words = try ranks.gather(word, "step")
    if words.contains(where: { $0.failed != 0 }) {
      try ranks.refuse(
        fault.map { DistributedError.invalid($0) }, words.map { $0.failed != 0 })
    }
    if words.contains(where: { $0.step != step || $0.batch != word.batch }) {
      try ranks.agree([("steps taken", "\(step)"), ("check sum of the batch", "\(batch)")])
    }
    let base = unsafe losses.unsafeBuffer.baseAddress.unsafelyUnwrapped
    for peer in 0..<ranks.size {
      let theirs = ParameterLayout.part(groupCount, ranks.size, peer)
      unsafe pieces.send(base + groups.lowerBound, bytes: 8 * groups.count, to: peer)
      unsafe pieces.receive(base + theirs.lowerBound, bytes: 8 * theirs.count, from: peer)
    }
    try ranks.run(pieces, "exchange of losses")
  }

  /// Adds up all groups of all ranks, each rank its stretch.
  func finish() throws(DistributedError) {
    guard ranks.size > 1 else {
      for addition in additions {
        unsafe add(UnsafePointer(vectors[addition.from]), to: vectors[addition.to], layout.count)
      }
      return
    }
    let rounds = (1...ranks.size).reduce(0) { max($0, firsts[$1] - firsts[$1 - 1]) }
    let chunks = (layout.longestStretch + chunk - 1) / chunk
    let count = rounds * chunks
    guard count > 0 else { return }
    try beginRound(0, rounds)
    for number in 0..<count {
      try ranks.end(pieces, "exchange of gradients")
      if number + 1 < count { try beginRound(number + 1, rounds) }
      // While the next message is on its way.
      if number % rounds == rounds - 1 { sumChunk(number / rounds) }
    }
  }

  /// The floats of a rank's stretch that a chunk has.
  private func range(_ number: Int, of rank: Int) -> Range<Int> {
    let stretch = layout.stretch(of: rank)
    let start = stretch.lowerBound + min(stretch.count, number * chunk)
    return start..<min(stretch.upperBound, start + chunk)
  }

  /// Begins the exchange of one of each rank's sums, of one chunk of all stretches.
  private func beginRound(_ number: Int, _ rounds: Int) throws(DistributedError) {
    let (chunkNumber, round) = number.quotientAndRemainder(dividingBy: rounds)
    let sumCount = firsts[ranks.size]
    let half = unsafe arrived + (chunkNumber & 1) * sumCount * chunk
    let own = range(chunkNumber, of: ranks.rank)
    for peer in 0..<ranks.size {
      let theirs = range(chunkNumber, of: peer)
      let sends = round < sums.count
      unsafe pieces.send(
        sends ? UnsafeRawPointer(vectors[round] + theirs.lowerBound) : nil,
        bytes: sends ? 4 * theirs.count : 0, to: peer)
      let receives = round < firsts[peer + 1] - firsts[peer]
      unsafe pieces.receive(
        receives ? UnsafeMutableRawPointer(half + (firsts[peer] + round) * chunk) : nil,
        bytes: receives ? 4 * own.count : 0, from: peer)
    }
    try ranks.begin(pieces, "exchange of gradients")
    for step in 0..<ranks.size {
      try ranks.send(pieces, to: (ranks.rank + step) % ranks.size, "exchange of gradients")
    }
  }

  private func sumChunk(_ number: Int) {
    let own = range(number, of: ranks.rank)
    guard !own.isEmpty else { return }
    let half = unsafe arrived + (number & 1) * firsts[ranks.size] * chunk
    for addition in additions {
      unsafe add(
        UnsafePointer(half + addition.from * chunk), to: half + addition.to * chunk, own.count)
    }
    let offset = own.lowerBound - layout.bounds[ranks.rank]
    unsafe (total + offset).update(from: half, count: own.count)
  }

  /// The gradient of a part of this rank's stretch.
  @unsafe func gradient(_ part: ParameterLayout.Part, count: Int) -> UnsafeBufferPointer<Float> {
    unsafe UnsafeBufferPointer(
      start: total + (part.place - layout.bounds[ranks.rank]), count: count)
  }

  /// The sum of the whole gradient's squares, on every rank.
  func squares() throws(DistributedError) -> ExactSumOfSquares {
    let count = layout.stretch(of: ranks.rank).count
    Parallel.shares(
      threads,
      unsafe SquareSums(floats: total, count: count, parts: threads, sums: partialSquares))
    var own = ExactSumOfSquares()
    for part in 0..<threads { unsafe own.add(partialSquares[part]) }
    return ranks.size > 1 ? try own.total(over: ranks) : own
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

/// sum += floats.
@safe private struct FloatSums: PassWork {
  let sum: UnsafeMutablePointer<Float>
  let floats: UnsafePointer<Float>
  let count: Int

  static let unit = 1 << 12

  func run(_ range: Range<Int>) {
    for i in range.lowerBound * Self.unit..<min(count, range.upperBound * Self.unit) {
      unsafe sum[i] += floats[i]
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
