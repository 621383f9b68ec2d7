// A table of which each rank has a part, and the moves of its rows between ranks: from those who have them to
// those who read them, and their gradients back.
//
// V rows of the whole table, D dim, U different rows of this rank's batch, A rows that ranks ask of this one.

public import EmbedKernel

internal import CSystem

/// A table `[rows, dim]` divided over ranks.
///
/// The whole table may have more rows than 32 bits count; a rank's part may not. A value of this class
/// belongs to one thread at a time.
public final class ShardedTable {
  /// The ranks.
  public let communicator: Communicator

  /// How the table is divided.
  public let sharding: Sharding

  /// The number of rows of the whole table.
  public let rows: Int

  /// The number of floats of a row of the whole table.
  public let dim: Int

  /// This rank's part: its rows in their own order, or its columns of all rows. A rank without rows, as where
  /// ranks are more than rows, has a row of zeros that nobody reads.
  public let shard: EmbeddingTable<Float>

  let partition: Partition
  let pieces: Exchange
  var asked: Scratch<Int32>
  private var outgoing: Scratch<Float>
  private var staging: Scratch<Float>

  /// Zeros.
  ///
  /// - Throws: `invalid` for sizes below 1, more ranks than columns where columns are divided, or a part that
  ///   is too large.
  package init(
    rows: Int, dim: Int, _ sharding: Sharding, _ communicator: Communicator
  ) throws(DistributedError) {
    for (name, size) in [("rows", rows), ("dim", dim)] where size < 1 {
      throw .invalid(.invalidSize(argument: name, value: size, expected: "1 or more"))
    }
    if case .rowBlocks(let size) = sharding, size < 1 {
      throw .invalid(
        .invalidSize(argument: "rows of a block", value: size, expected: "1 or more"))
    }
    let (rank, ranks) = (communicator.rank, communicator.size)
    if sharding == .columns, dim < ranks {
      throw .invalid(
        .invalidSize(argument: "dim", value: dim, expected: "a column for each of \(ranks) ranks"))
    }
    let partition = Partition(rows: rows, dim: dim, ranks: ranks, sharding)
    let own = partition.rowCount(of: rank)
    guard own < Int(Int32.max) else {
      throw .invalid(
        .invalidSize(argument: "rows of a rank", value: own, expected: "below \(Int32.max)"))
    }
    let width = partition.columns(of: rank).count
    shard = try DistributedError.wrapping(try EmbeddingTable(rows: max(1, own), dim: width))
    self.communicator = communicator
    self.sharding = sharding
    self.rows = rows
    self.dim = dim
    self.partition = partition
    pieces = Exchange(ranks: ranks)
    asked = try Scratch()
    outgoing = try Scratch()
    staging = try Scratch()
  }

  /// How many rows of the whole table this rank has, or has columns of.
  public var rowCount: Int { rowCount(of: communicator.rank) }

  /// How many a rank has.
  package func rowCount(of rank: Int) -> Int { partition.rowCount(of: rank) }

  /// The columns that this rank has.
  public var columns: Range<Int> { partition.columns(of: communicator.rank) }

  /// The number that this rank's row `local` has in the whole table.
  ///
  /// - Precondition: `local` is in `0..<rowCount`.
  public func row(_ local: Int) -> Int {
    precondition(local >= 0 && local < rowCount, "row out of bounds")
    return partition.row(local, of: communicator.rank)
  }

  /// This rank's row of the whole table's row `row`; nil where another rank has it.
  public func localRow(of row: Int) -> Int? {
    precondition(row >= 0 && row < rows, "row out of bounds")
    let place = partition.place(of: row)
    return partition.isByColumns || place.rank == communicator.rank ? place.row : nil
  }

  // MARK: Rows to their readers

  /// Fetches the rows of `requests` into `rows`, `[U, dim]`, in the order of the requests.
  ///
  /// - Parameter counts: How many rows each rank asks of this one.
  /// - Complexity: Sends 4·U bytes of row numbers, by columns to each rank, and A·width·4 of rows.
  func fetch(
    _ requests: borrowing RowRequests, _ counts: [Int], into rows: inout Scratch<Float>,
    _ kernels: Kernels
  ) throws(DistributedError) {
    let width = shard.dim
    try unsafe exchangeRows(requests.rows, counts) { requests.range(of: $0) }
    let total = counts.reduce(0, +)
    try outgoing.reserve(total * width)
    try rows.reserve(max(1, requests.count) * dim)
    if partition.isByColumns { try staging.reserve(requests.count * dim) }
    var starts = [0]
    for peer in 0..<partition.ranks {
      unsafe pieces.send(
        outgoing.base + starts[peer] * width, bytes: counts[peer] * width * 4, to: peer)
      starts.append(starts[peer] + counts[peer])
      let range = requests.range(of: peer)
      if partition.isByColumns {
        let columns = partition.columns(of: peer)
        unsafe pieces.receive(
          staging.base + requests.count * columns.lowerBound,
          bytes: requests.count * columns.count * 4, from: peer)
      } else {
        unsafe pieces.receive(
          rows.base + range.lowerBound * dim, bytes: range.count * dim * 4, from: peer)
      }
    }
    // Each rank's rows are on their way while the next one's are gathered.
    try communicator.begin(pieces, "exchange of rows")
    for step in 1...partition.ranks {
      let peer = (communicator.rank + step) % partition.ranks
      try gather(starts[peer], counts[peer], kernels)
      try communicator.send(pieces, to: peer, "exchange of rows")
    }
    try communicator.end(pieces, "exchange of rows")
    if partition.isByColumns { unsafe joinColumns(requests.count, into: rows.base) }
  }

  /// Gathers `count` of the rows that are asked for, from the one at `start` on, to be sent.
  private func gather(_ start: Int, _ count: Int, _ kernels: Kernels) throws(DistributedError) {
    guard count > 0 else { return }
    let width = shard.dim
    let asked = unsafe UnsafeBufferPointer(start: self.asked.base + start, count: count)
    let shape = EmbeddingShape(vocabulary: shard.rows, batch: 1, context: count, dim: width)
    var output = unsafe UnsafeMutableBufferPointer(
      start: outgoing.base + start * width, count: count * width)
    // From the table itself: rows that an optimiser left behind are brought up to date.
    try unsafe DistributedError.wrapping(
      try kernels.embed(ids: asked, tokens: shard, positions: nil, shape: shape, into: &output))
  }

  /// Tells each rank which of its rows is meant; those that others mean of this one are in `asked` after.
  ///
  /// - Parameters:
  ///   - rows: Numbers of rows, of which a rank gets a range.
  ///   - counts: How many each rank sends to this one.
  private func exchangeRows(
    _ rows: UnsafePointer<Int32>, _ counts: [Int], range: (Int) -> Range<Int>
  ) throws(DistributedError) {
    try asked.reserve(counts.reduce(0, +))
    var start = 0
    for peer in 0..<partition.ranks {
      let range = range(peer)
      unsafe pieces.send(rows + range.lowerBound, bytes: range.count * 4, to: peer)
      unsafe pieces.receive(asked.base + start, bytes: counts[peer] * 4, from: peer)
      start += counts[peer]
    }
    try communicator.run(pieces, "exchange of row numbers")
  }

  /// Lays the columns of each rank side by side.
  private func joinColumns(_ count: Int, into rows: UnsafeMutablePointer<Float>) {
    for peer in 0..<partition.ranks {
      let columns = partition.columns(of: peer)
      let from = unsafe staging.base + count * columns.lowerBound
      for row in 0..<count {
        unsafe (rows + row * dim + columns.lowerBound)
          .update(from: from + row * columns.count, count: columns.count)
      }
    }
  }

  // MARK: Gradients to their owners

  /// Sends rows of gradients to those who have the table's rows.
  ///
  /// What arrives is in `asked`, the rows it belongs to, and in the result: rank after rank, each rank's in
  /// the order it sent them, which is the order of the global batch.
  ///
  /// - Parameters:
  ///   - parcels: Which rows go to whom.
  ///   - gradient: Shape `[n, dim]`.
  ///   - counts: How many rows each rank sends to this one.
  func ship(
    _ parcels: borrowing GradientParcels, of gradient: UnsafePointer<Float>, _ counts: [Int]
  ) throws(DistributedError) -> UnsafeBufferPointer<Float> {
    let width = shard.dim
    let total = counts.reduce(0, +)
    try unsafe exchangeRows(parcels.rows, counts) { parcels.range(of: $0) }
    try outgoing.reserve(parcels.count * dim)
    try staging.reserve(total * width)
    var start = 0
    for peer in 0..<partition.ranks {
      let (range, columns) = (parcels.range(of: peer), partition.columns(of: peer))
      let first =
        partition.isByColumns ? parcels.count * columns.lowerBound : range.lowerBound * dim
      unsafe pieces.send(
        outgoing.base + first, bytes: range.count * columns.count * 4, to: peer)
      unsafe pieces.receive(
        staging.base + start * width, bytes: counts[peer] * width * 4, from: peer)
      start += counts[peer]
    }
    try communicator.begin(pieces, "exchange of gradients")
    for step in 1...partition.ranks {
      let peer = (communicator.rank + step) % partition.ranks
      let (range, columns) = (parcels.range(of: peer), partition.columns(of: peer))
      let first =
        partition.isByColumns ? parcels.count * columns.lowerBound : range.lowerBound * dim
      unsafe pack(parcels, range, columns, gradient, into: outgoing.base + first)
      try communicator.send(pieces, to: peer, "exchange of gradients")
    }
    try communicator.end(pieces, "exchange of gradients")
    return unsafe staging.first(total * width)
  }

  private func pack(
    _ parcels: borrowing GradientParcels, _ range: Range<Int>, _ columns: Range<Int>,
    _ gradient: UnsafePointer<Float>, into output: UnsafeMutablePointer<Float>
  ) {
    for (place, parcel) in range.enumerated() {
      let from = unsafe gradient + Int(parcels.sources[parcel]) * dim + columns.lowerBound
      unsafe (output + place * columns.count).update(from: from, count: columns.count)
    }
  }

  /// The bytes of room for calls, in proportion to the largest.
  public var scratchBytes: Int { asked.byteCount + outgoing.byteCount + staging.byteCount }
}

/// Which rows of a gradient go to which rank, and which rows of that rank they belong to.
struct GradientParcels: ~Copyable {
  private(set) var count = 0
  private var starts: [Int]
  private let isByColumns: Bool
  private var sourceStorage: Scratch<Int32>
  private var rowStorage: Scratch<Int32>

  init(_ partition: Partition) throws(DistributedError) {
    let sources = try Scratch<Int32>()
    let rows = try Scratch<Int32>()
    isByColumns = partition.isByColumns
    starts = [Int](repeating: 0, count: partition.ranks + 1)
    sourceStorage = sources
    rowStorage = rows
  }

  @unsafe var sources: UnsafeMutablePointer<Int32> { unsafe sourceStorage.base }
  @unsafe var rows: UnsafeMutablePointer<Int32> { unsafe rowStorage.base }

  /// What goes to a rank: by columns, to every rank its columns of all.
  func range(of rank: Int) -> Range<Int> {
    isByColumns ? 0..<count : starts[rank]..<starts[rank + 1]
  }

  /// The gradient row of every token that reads a row, in the order of tokens.
  mutating func listTokens(
    _ tokens: Int, _ requests: borrowing RowRequests
  ) throws(DistributedError) {
    try sourceStorage.reserve(tokens)
    try rowStorage.reserve(tokens)
    let (slots, ranks) = unsafe (requests.slots, requests.ranks)
    for rank in starts.indices { starts[rank] = 0 }
    for token in 0..<tokens {
      let slot = unsafe Int(slots[token])
      if slot >= 0 { unsafe starts[Int(ranks[slot]) + 1] += 1 }
    }
    for rank in 1..<starts.count { starts[rank] += starts[rank - 1] }
    count = starts[starts.count - 1]
    var next = starts
    for token in 0..<tokens {
      let slot = unsafe Int(slots[token])
      guard slot >= 0 else { continue }
      let rank = unsafe Int(ranks[slot])
      unsafe sources[next[rank]] = Int32(truncatingIfNeeded: token)
      unsafe rows[next[rank]] = requests.rows[slot]
      next[rank] += 1
    }
  }

  /// A row for each row that was read, in the order of the requests.
  mutating func listRows(_ requests: borrowing RowRequests) throws(DistributedError) {
    count = requests.count
    starts = requests.starts
    try sourceStorage.reserve(count)
    try rowStorage.reserve(count)
    for slot in 0..<count {
      unsafe sources[slot] = Int32(truncatingIfNeeded: slot)
      unsafe rows[slot] = requests.rows[slot]
    }
  }
}
