// Sums over things that ranks have parts of, in the order of a tree that follows from the number of things alone:
// the groups of a batch, the blocks of a vocabulary. MPI moves the sums that a rank can make alone; who gets
// them makes the rest.
//
// L things (leaves of the tree), R ranks, S sums that a rank is left with (at most 2 log2 L; one where the ranks are
// a power of two that divides L).

internal import EmbedKernel

/// The exchange of a rank's sums, each rank getting the whole sum of a stretch of the summed vector.
@safe package final class OrderedSums {
  package let ranks: Communicator
  /// How many sums ranks have: rank r's are `firsts[r]..<firsts[r + 1]` of all.
  private let firsts: [Int]
  private let additions: [PairTree.Addition]
  /// `[2, sums of all ranks, chunk]`, and this rank's stretch of the whole sum.
  private var arrived: Scratch<Float>
  private var total: Scratch<Float>
  private let pieces: Exchange
  private let threads: Int
  private let operation: String

  /// The floats of a message.
  private static let longestChunk = 1 << 18

  /// - Parameters:
  ///   - leaves: The number of things; ranks have them in equal parts, in order.
  ///   - operation: Names the exchange in errors.
  package init(
    leaves: Int, threads: Int, over ranks: Communicator, _ operation: String
  ) throws(DistributedError) {
    let sums = (0..<ranks.size).map {
      PairTree.sums(of: Partition.share(leaves, ranks.size, $0))
    }
    firsts = sums.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1.count) }
    additions = PairTree.additions(sums.flatMap { $0 })
    arrived = try Scratch()
    total = try Scratch()
    pieces = Exchange(ranks: ranks.size)
    self.ranks = ranks
    self.threads = threads
    self.operation = operation
  }

  /// Makes room for a vector of which ranks get `bounds`.
  package func reserve(bounds: [Int]) throws(DistributedError) {
    guard ranks.size > 1 else { return }
    try arrived.reserve(2 * firsts[ranks.size] * chunk(bounds))
    try total.reserve(max(1, bounds[ranks.rank + 1] - bounds[ranks.rank]))
  }

  /// The bytes of memory.
  package var memoryBytes: Int { arrived.byteCount + total.byteCount }

  private func chunk(_ bounds: [Int]) -> Int {
    max(1, min(longest(bounds), Self.longestChunk))
  }

  private func longest(_ bounds: [Int]) -> Int {
    (0..<ranks.size).reduce(0) { max($0, bounds[$1 + 1] - bounds[$1]) }
  }

  /// Adds up all sums of all ranks.
  ///
  /// - Parameters:
  ///   - sums: This rank's, each a whole vector; written where there is one rank.
  ///   - bounds: Where each rank's stretch of the vector begins, and its end.
  /// - Returns: This rank's stretch of the sum, valid up to the next call.
  /// - Complexity: Sends 4 S bytes for each float of the others' stretches, in chunks: one is added up while the
  ///   next is on its way.
  @unsafe package func run(
    _ sums: [UnsafeMutablePointer<Float>], bounds: [Int]
  ) throws(DistributedError) -> UnsafeMutablePointer<Float> {
    guard ranks.size > 1 else {
      for addition in additions {
        unsafe add(
          UnsafePointer(sums[addition.from]), to: sums[addition.to], bounds[1] - bounds[0])
      }
      return unsafe sums[0]
    }
    try reserve(bounds: bounds)
    let chunk = chunk(bounds)
    let rounds = (1...ranks.size).reduce(0) { max($0, firsts[$1] - firsts[$1 - 1]) }
    let count = rounds * ((longest(bounds) + chunk - 1) / chunk)
    guard count > 0 else { return unsafe total.base }
    try unsafe begin(0, rounds, sums, bounds, chunk)
    for number in 0..<count {
      try ranks.end(pieces, operation)
      if number + 1 < count { try unsafe begin(number + 1, rounds, sums, bounds, chunk) }
      // While the next message is on its way.
      if number % rounds == rounds - 1 { sumChunk(number / rounds, bounds, chunk) }
    }
    return unsafe total.base
  }

  /// The floats of a rank's stretch that a chunk has.
  private func range(_ number: Int, of rank: Int, _ bounds: [Int], _ chunk: Int) -> Range<Int> {
    let start = min(bounds[rank + 1], bounds[rank] + number * chunk)
    return start..<min(bounds[rank + 1], start + chunk)
  }

  /// Begins the exchange of one of each rank's sums, of one chunk of all stretches.
  private func begin(
    _ number: Int, _ rounds: Int, _ sums: [UnsafeMutablePointer<Float>], _ bounds: [Int],
    _ chunk: Int
  ) throws(DistributedError) {
    let (chunkNumber, round) = number.quotientAndRemainder(dividingBy: rounds)
    let half = unsafe arrived.base + (chunkNumber & 1) * firsts[ranks.size] * chunk
    let own = range(chunkNumber, of: ranks.rank, bounds, chunk)
    let sends = round < firsts[ranks.rank + 1] - firsts[ranks.rank]
    for peer in 0..<ranks.size {
      let theirs = range(chunkNumber, of: peer, bounds, chunk)
      unsafe pieces.send(
        sends ? UnsafeRawPointer(sums[round] + theirs.lowerBound) : nil,
        bytes: sends ? 4 * theirs.count : 0, to: peer)
      let receives = round < firsts[peer + 1] - firsts[peer]
      unsafe pieces.receive(
        receives ? UnsafeMutableRawPointer(half + (firsts[peer] + round) * chunk) : nil,
        bytes: receives ? 4 * own.count : 0, from: peer)
    }
    try ranks.begin(pieces, operation)
    for step in 0..<ranks.size {
      try ranks.send(pieces, to: (ranks.rank + step) % ranks.size, operation)
    }
  }

  private func sumChunk(_ number: Int, _ bounds: [Int], _ chunk: Int) {
    let own = range(number, of: ranks.rank, bounds, chunk)
    guard !own.isEmpty else { return }
    let half = unsafe arrived.base + (number & 1) * firsts[ranks.size] * chunk
    for addition in additions {
      unsafe add(
        UnsafePointer(half + addition.from * chunk), to: half + addition.to * chunk, own.count)
    }
    let offset = own.lowerBound - bounds[ranks.rank]
    unsafe (total.base + offset).update(from: half, count: own.count)
  }

  /// sum += floats.
  @unsafe package func add(
    _ floats: UnsafePointer<Float>, to sum: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    unsafe FloatSums(sum: sum, floats: floats, count: count)
      .split((count + FloatSums.unit - 1) / FloatSums.unit, threads)
  }
}

@safe private struct FloatSums: ParallelWork {
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
