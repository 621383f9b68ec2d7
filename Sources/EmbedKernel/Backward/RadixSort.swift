// The sort behind `RowGroups`: pairs of row and token in one 64-bit number, least significant digit
// first, cut into parts that are counted and scattered side by side. Being a sort of distinct
// numbers, its result does not depend on the parts.
//
// N tokens. Each pass over a digit reads and writes 8*N bytes; GPT-2's vocabulary takes two.

/// Which row a token id belongs to.
package struct RowOfID {
  /// The number of rows; the number itself stands for "no row" and sorts last.
  let rows: Int
  let paddingID: Int
  let clamps: Bool

  package init(rows: Int, paddingID: Int? = nil, unknownIDs: UnknownIDs = .error) {
    self.rows = rows
    self.paddingID = paddingID ?? -1
    clamps = unknownIDs == .clamp
  }

  @inline(__always)
  func row(of id: Int) -> Int {
    var row = id
    if row < 0 || row >= rows {
      guard clamps else { return rows }
      row = max(0, min(row, rows - 1))
    }
    return row == paddingID ? rows : row
  }
}

/// How row numbers are cut into digits.
struct Digit {
  /// The number of digits.
  let count: Int
  /// The bits of a digit.
  let bits: Int

  /// At most 11 bits a digit, so that the counters fit in L1.
  init(highest: Int) {
    let width = Int.bitWidth - highest.leadingZeroBitCount
    count = max(1, (width + 10) / 11)
    bits = (width + count - 1) / count
  }

  var values: Int { 1 << bits }

  @inline(__always)
  func value(_ pair: UInt64, _ index: Int) -> Int {
    Int(truncatingIfNeeded: pair >> UInt64(32 &+ index &* bits)) & (values &- 1)
  }
}

/// One call's sort, over memory that has room for it.
@safe struct RadixSort: ParallelWork {
  enum Step {
    case fill
    case count
    case scatter
    case countRows
    case list
  }

  let ids: TokenIDs
  let choice: RowOfID
  let parts: Int
  let digit: Digit
  var pairs: UnsafeMutablePointer<UInt64>
  var spare: UnsafeMutablePointer<UInt64>
  /// `parts * digit.values` numbers; between steps, where a part's pairs of a value go.
  let counters: UnsafeMutablePointer<UInt32>
  let rows: UnsafeMutablePointer<Int32>
  let offsets: UnsafeMutablePointer<Int32>
  let tokens: UnsafeMutablePointer<Int32>
  private var step = Step.fill
  private var index = 0
  private var groupedTokens = 0

  init(
    ids: TokenIDs, choice: RowOfID, parts: Int, digit: Digit,
    pairs: UnsafeMutablePointer<UInt64>, spare: UnsafeMutablePointer<UInt64>,
    counters: UnsafeMutablePointer<UInt32>, rows: UnsafeMutablePointer<Int32>,
    offsets: UnsafeMutablePointer<Int32>, tokens: UnsafeMutablePointer<Int32>
  ) {
    self.ids = ids
    self.choice = choice
    self.parts = parts
    self.digit = digit
    unsafe self.pairs = pairs
    unsafe self.spare = spare
    unsafe self.counters = counters
    unsafe self.rows = rows
    unsafe self.offsets = offsets
    unsafe self.tokens = tokens
  }

  /// Sorts and lists; the number of groups, and of tokens in them.
  mutating func group() -> (groups: Int, tokens: Int) {
    run(.fill)
    if ids.count <= insertionTokens {
      insertionSort()
    } else {
      for index in 0..<digit.count {
        self.index = index
        run(.count)
        addUpCounters()
        run(.scatter)
        unsafe swap(&pairs, &spare)
      }
    }
    groupedTokens = firstWithoutRow()
    run(.countRows)
    var groups = 0
    for part in 0..<parts {
      let here = unsafe Int(counters[part])
      unsafe counters[part] = UInt32(groups)
      groups += here
    }
    run(.list)
    unsafe offsets[groups] = Int32(groupedTokens)
    return (groups, groupedTokens)
  }

  private mutating func run(_ step: Step) {
    self.step = step
    Threads.split(parts, parts, self)
  }

  func run(_ range: Range<Int>) {
    for part in range {
      switch step {
      case .fill: fill(slice(part, of: ids.count))
      case .count: countDigits(part)
      case .scatter: scatter(part)
      case .countRows:
        var rows = 0
        forEachFirst(slice(part, of: groupedTokens)) { _, _ in rows &+= 1 }
        unsafe counters[part] = UInt32(rows)
      case .list: list(part)
      }
    }
  }

  private func slice(_ part: Int, of count: Int) -> Range<Int> {
    part * count / parts..<(part + 1) * count / parts
  }

  private func fill(_ range: Range<Int>) {
    for token in range {
      unsafe pairs[token] = UInt64(choice.row(of: ids[token])) << 32 | UInt64(token)
    }
  }

  private func insertionSort() {
    var sorted = 1
    while sorted < ids.count {
      let pair = unsafe pairs[sorted]
      var i = sorted
      while unsafe i > 0 && pairs[i &- 1] > pair {
        unsafe pairs[i] = pairs[i &- 1]
        i &-= 1
      }
      unsafe pairs[i] = pair
      sorted &+= 1
    }
  }

  private func countDigits(_ part: Int) {
    let counts = unsafe counters + part * digit.values
    unsafe counts.update(repeating: 0, count: digit.values)
    for i in slice(part, of: ids.count) { unsafe counts[digit.value(pairs[i], index)] &+= 1 }
  }

  /// Turns counts into places: by digit, and within a digit by part.
  private func addUpCounters() {
    var place: UInt32 = 0
    for value in 0..<digit.values {
      for part in 0..<parts {
        let slot = part &* digit.values &+ value
        let here = unsafe counters[slot]
        unsafe counters[slot] = place
        place &+= here
      }
    }
  }

  private func scatter(_ part: Int) {
    let places = unsafe counters + part * digit.values
    for i in slice(part, of: ids.count) {
      let pair = unsafe pairs[i]
      let value = digit.value(pair, index)
      unsafe spare[Int(places[value])] = pair
      unsafe places[value] &+= 1
    }
  }

  /// The number of pairs that have a row.
  private func firstWithoutRow() -> Int {
    (0..<ids.count).partitionPoint { unsafe pairs[$0] >> 32 >= UInt64(choice.rows) }
  }

  /// Calls `body` with each index whose pair is the first of its row, and the row.
  @inline(__always)
  private func forEachFirst(_ range: Range<Int>, _ body: (_ index: Int, _ row: UInt64) -> Void) {
    guard let first = range.first else { return }
    var last = unsafe first == 0 ? UInt64.max : pairs[first - 1] >> 32
    for i in range {
      let row = unsafe pairs[i] >> 32
      if row != last { body(i, row) }
      last = row
    }
  }

  private func list(_ part: Int) {
    let range = slice(part, of: groupedTokens)
    for i in range { unsafe tokens[i] = Int32(truncatingIfNeeded: pairs[i]) }
    var group = unsafe Int(counters[part])
    forEachFirst(range) { index, row in
      unsafe rows[group] = Int32(truncatingIfNeeded: row)
      unsafe offsets[group] = Int32(truncatingIfNeeded: index)
      group &+= 1
    }
  }
}

/// Up to here an insertion sort is faster than filling counters.
private let insertionTokens = 64
