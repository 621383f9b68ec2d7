// Which rows a batch reads, each once, by the rank that has them: sorted by rank and row, so that each rank
// is asked for a list of rising rows.
//
// N tokens, U different rows.

internal import EmbedKernel

/// The rows that a rank's batch reads.
struct RowRequests: ~Copyable {
  /// The number of different rows.
  private(set) var count = 0

  /// Where the rows of each rank begin, and where the last one's end.
  private(set) var starts: [Int] = []

  private let isByColumns: Bool
  private var pairs: Scratch<Pair>
  private var spare: Scratch<Pair>
  private var slotStorage: Scratch<Int32>
  private var rowStorage: Scratch<Int32>
  private var rankStorage: Scratch<Int32>

  /// A row's rank and number, and the token that reads it.
  struct Pair: BitwiseCopyable {
    var key: UInt64
    var token: Int32
  }

  init(_ partition: Partition) throws(DistributedError) {
    let pairs = try Scratch<Pair>()
    let spare = try Scratch<Pair>()
    let slots = try Scratch<Int32>()
    let rows = try Scratch<Int32>()
    let ranks = try Scratch<Int32>()
    isByColumns = partition.isByColumns
    self.pairs = pairs
    self.spare = spare
    slotStorage = slots
    rowStorage = rows
    rankStorage = ranks
    starts = [Int](repeating: 0, count: partition.ranks + 1)
  }

  /// For each token the index of its row among the different ones; negative for a token that reads none.
  @unsafe var slots: UnsafeMutablePointer<Int32> { unsafe slotStorage.base }

  /// The different rows, as their ranks number them.
  @unsafe var rows: UnsafeMutablePointer<Int32> { unsafe rowStorage.base }

  /// The rank of each different row.
  @unsafe var ranks: UnsafeMutablePointer<Int32> { unsafe rankStorage.base }

  /// What a rank is asked for: by columns, every rank for all rows.
  func range(of rank: Int) -> Range<Int> {
    isByColumns ? 0..<count : starts[rank]..<starts[rank + 1]
  }

  /// Lists the rows of `tokens` tokens.
  ///
  /// - Parameter row: The table's row that a token reads, negative for none.
  @inline(__always)
  mutating func list(
    _ tokens: Int, _ partition: Partition, _ row: (Int) -> Int
  ) throws(DistributedError) {
    guard tokens < Int(Int32.max) else {
      throw .invalid(
        .invalidSize(argument: "tokens", value: tokens, expected: "below \(Int32.max)"))
    }
    try pairs.reserve(tokens)
    try spare.reserve(tokens)
    try slotStorage.reserve(tokens)
    try rowStorage.reserve(tokens)
    try rankStorage.reserve(tokens)
    let (pairs, slots) = unsafe (self.pairs.base, slots)
    var listed = 0
    for token in 0..<tokens {
      let row = row(token)
      unsafe slots[token] = -1
      guard row >= 0 else { continue }
      let place = partition.place(of: row)
      unsafe pairs[listed] = Pair(
        key: UInt64(place.rank) << 32 | UInt64(place.row), token: Int32(truncatingIfNeeded: token))
      listed += 1
    }
    let sorted = unsafe sort(listed)
    unsafe findDifferent(sorted, listed)
  }

  private mutating func findDifferent(_ sorted: UnsafeMutablePointer<Pair>, _ listed: Int) {
    let (slots, rows, ranks) = unsafe (self.slots, self.rows, self.ranks)
    for rank in starts.indices { starts[rank] = 0 }
    var last = UInt64.max
    count = 0
    for i in 0..<listed {
      let pair = unsafe sorted[i]
      if pair.key != last {
        last = pair.key
        let rank = Int(last >> 32)
        unsafe rows[count] = Int32(truncatingIfNeeded: last)
        unsafe ranks[count] = Int32(truncatingIfNeeded: rank)
        starts[rank + 1] += 1
        count += 1
      }
      unsafe slots[Int(pair.token)] = Int32(truncatingIfNeeded: count - 1)
    }
    for rank in 1..<starts.count { starts[rank] += starts[rank - 1] }
  }

  /// Sorts by keys, least significant digit first, keeping the order of tokens; digits that all keys share
  /// are passed over. Returns where the result is.
  private func sort(_ count: Int) -> UnsafeMutablePointer<Pair> {
    var (from, to) = unsafe (pairs.base, spare.base)
    guard count > 1 else { return unsafe from }
    var (all, any) = (UInt64.max, UInt64(0))
    for i in 0..<count {
      unsafe all &= from[i].key
      unsafe any |= from[i].key
    }
    let differing = any & ~all
    var counters = [Int](repeating: 0, count: digits)
    for shift in stride(from: UInt64(0), to: 64, by: digitBits) {
      guard (differing >> shift) & UInt64(digits - 1) != 0 else { continue }
      for digit in counters.indices { counters[digit] = 0 }
      for i in 0..<count { counters[digit(unsafe from[i].key, shift)] += 1 }
      var start = 0
      for digit in counters.indices {
        (counters[digit], start) = (start, start + counters[digit])
      }
      for i in 0..<count {
        let pair = unsafe from[i]
        let digit = digit(pair.key, shift)
        unsafe to[counters[digit]] = pair
        counters[digit] += 1
      }
      unsafe swap(&from, &to)
    }
    return unsafe from
  }

  @inline(__always)
  private func digit(_ key: UInt64, _ shift: UInt64) -> Int {
    Int((key >> shift) & UInt64(digits - 1))
  }
}

private let digitBits = 11
private let digits = 1 << 11
