// Which tokens of a batch share a table row: the batch's ids sorted into rising rows, with the
// tokens of each row in batch order. Backward and the fused optimiser steps walk these groups, so
// that each touched row is written once.
//
// N tokens, V table rows. Time and memory are those of N: nothing here is V long. The order is that
// of a stable sort, so it is the same for every thread count.

/// The tokens of a batch, grouped by the table row that they read.
///
/// The memory is reused from call to call: it grows to the largest batch seen and stays.
public struct RowGroups: ~Copyable {
  /// The number of different rows.
  public private(set) var count = 0

  /// The number of tokens that belong to a row: all but those of the padding id, and those outside
  /// the vocabulary that read a row of zeros.
  public private(set) var tokenCount = 0

  private var rowStorage: AlignedBuffer<Int32>
  private var offsetStorage: AlignedBuffer<Int32>
  private var tokenStorage: AlignedBuffer<Int32>
  private var pairs: AlignedBuffer<UInt64>
  private var spare: AlignedBuffer<UInt64>
  private var counters: AlignedBuffer<UInt32>

  /// Empty groups, with room for batches of `capacity` tokens.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public init(capacity: Int = 0) throws(EmbedError) {
    try checkTokenCount(capacity)
    let rows = try AlignedBuffer<Int32>(count: capacity)
    let offsets = try AlignedBuffer<Int32>(count: capacity + 1)
    let tokens = try AlignedBuffer<Int32>(count: capacity)
    let pairs = try AlignedBuffer<UInt64>(count: capacity)
    let spare = try AlignedBuffer<UInt64>(count: capacity)
    let counters = try AlignedBuffer<UInt32>(count: 0)
    rowStorage = rows
    offsetStorage = offsets
    tokenStorage = tokens
    self.pairs = pairs
    self.spare = spare
    self.counters = counters
  }

  /// The number of tokens there is room for without allocating.
  public var capacity: Int { rowStorage.count }

  /// The bytes of all its memory, some 28 a token.
  public var memoryBytes: Int {
    4 * (rowStorage.count + offsetStorage.count + tokenStorage.count + counters.count)
      + 8 * (pairs.count + spare.count)
  }

  /// The rows, rising, each once; `count` elements.
  public var rowIDs: Span<Int32> {
    @_lifetime(borrow self)
    get { rowStorage.span.extracting(first: count) }
  }

  /// Where each row's tokens begin in `tokens`, and where the last one's end; `count + 1` elements.
  public var offsets: Span<Int32> {
    @_lifetime(borrow self)
    get { offsetStorage.span.extracting(first: count + 1) }
  }

  /// The tokens of the first row, then those of the second, and so on, each row's rising;
  /// `tokenCount` indices into the batch.
  public var tokens: Span<Int32> {
    @_lifetime(borrow self)
    get { tokenStorage.span.extracting(first: tokenCount) }
  }

  /// The same as pointers, valid until this groups other ids or ends.
  package var unsafeView: RowGroupView {
    unsafe RowGroupView(
      count: count, tokenCount: tokenCount, rowIDs: rowStorage.base, offsets: offsetStorage.base,
      tokens: tokenStorage.base)
  }

  /// Groups the ids of a batch.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - context: Tells an error the batch row and position of a bad id.
  ///   - vocabulary: The number of rows of the table.
  ///   - paddingID: An id whose tokens belong to no row.
  ///   - unknownIDs: What the forward pass did with ids outside the vocabulary: a clamped id belongs
  ///     to the row that it read, one that read zeros to none.
  ///   - threads: How many threads may take part; nil for as many as the batch gains from.
  /// - Throws: `tokenOutOfRange`, `invalidSize`, `sizeOverflow`, `outOfMemory`; the groups of the
  ///   call before are then kept.
  /// - Complexity: O(N) for N tokens. Allocates only for a batch larger than any before.
  @inlinable
  public mutating func group<IDs: ReadableElements & ~Copyable & ~Escapable>(
    _ ids: borrowing IDs, context: Int, vocabulary: Int, paddingID: Int? = nil,
    unknownIDs: UnknownIDs = .error, threads: Int? = nil
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe ids.withElements { (ids) throws(EmbedError) in
      try group(
        unsafe TokenIDs(ids), context: context, vocabulary: vocabulary, paddingID: paddingID,
        unknownIDs: unknownIDs, threads: threads)
    }
  }

  @usableFromInline
  package mutating func group(
    _ ids: TokenIDs, context: Int, vocabulary: Int, paddingID: Int?, unknownIDs: UnknownIDs,
    threads: Int?
  ) throws(EmbedError) {
    guard vocabulary > 0, vocabulary < Int(Int32.max) else {
      throw .invalidSize(
        argument: "vocabulary", value: vocabulary, expected: "1..<\(Int32.max)")
    }
    if unknownIDs == .error, !ids.areAll(below: vocabulary),
      let error = ids.firstOutside(vocabulary, context: max(1, context))
    {
      throw error
    }
    try group(
      ids, RowOfID(rows: vocabulary, paddingID: paddingID, unknownIDs: unknownIDs),
      threads: threads ?? Threads.available)
  }

  /// Groups checked ids, on up to `threads` threads.
  package mutating func group(
    _ ids: TokenIDs, _ choice: RowOfID, threads: Int
  ) throws(EmbedError) {
    let n = ids.count
    let parts = n < parallelTokens ? 1 : max(1, min(threads, mostParts))
    let digit = Digit(highest: choice.rows)
    try reserve(n, counters: parts * digit.values)
    var work = unsafe RadixSort(
      ids: ids, choice: choice, parts: parts, digit: digit, pairs: pairs.base, spare: spare.base,
      counters: counters.base, rows: rowStorage.base, offsets: offsetStorage.base,
      tokens: tokenStorage.base)
    (count, tokenCount) = work.group()
  }

  /// Lists given groups: `fill` writes rising rows, the offsets of their tokens and the tokens, for
  /// at most `tokens` tokens, and says how many rows there are.
  package mutating func set(
    tokens: Int,
    _ fill: (
      _ rows: UnsafeMutablePointer<Int32>, _ offsets: UnsafeMutablePointer<Int32>,
      _ tokens: UnsafeMutablePointer<Int32>
    ) -> Int
  ) throws(EmbedError) {
    try reserve(tokens, counters: 0)
    count = unsafe fill(rowStorage.base, offsetStorage.base, tokenStorage.base)
    tokenCount = unsafe count == 0 ? 0 : Int(offsetStorage.base[count])
  }

  /// Makes room for `tokens` tokens; the groups are kept where nothing grows.
  private mutating func reserve(_ tokens: Int, counters needed: Int) throws(EmbedError) {
    try checkTokenCount(tokens)
    if tokens > capacity {
      // Each is replaced once all are there, so that an error leaves the groups as they were.
      var larger = try RowGroups(capacity: max(tokens, min(capacity + capacity / 2, mostTokens)))
      larger.counters = try AlignedBuffer(count: max(needed, counters.count))
      self = larger
    } else if needed > counters.count {
      counters = try AlignedBuffer(count: needed)
    }
  }
}

/// The groups as pointers.
@safe package struct RowGroupView {
  package let count: Int
  package let tokenCount: Int
  /// `count` rising rows.
  package let rowIDs: UnsafePointer<Int32>
  /// `count + 1` indices into `tokens`.
  package let offsets: UnsafePointer<Int32>
  /// `tokenCount` indices into the batch.
  package var tokens: UnsafePointer<Int32>

  /// Calls `body` with the groups of a range, and where their tokens begin and end in `tokens`.
  @inline(__always)
  func forEach(
    in range: Range<Int>? = nil, _ body: (_ group: Int, _ start: Int, _ end: Int) -> Void
  ) {
    let range = range ?? 0..<count
    var start = unsafe Int(offsets[range.lowerBound])
    for group in range {
      let end = unsafe Int(offsets[group &+ 1])
      body(group, start, end)
      start = end
    }
  }

  /// Calls `lone` with each group of a range that has one token, and `others` with the others. In
  /// `destinations` each token gets what `lone` makes of its group, or -1 where it shares its row.
  @inline(__always)
  func findLone(
    in range: Range<Int>? = nil, destinations: UnsafeMutablePointer<Int32>,
    _ lone: (_ group: Int) -> Int,
    others: (_ group: Int, _ start: Int, _ end: Int) -> Void = { _, _, _ in }
  ) {
    forEach(in: range) { group, start, end in
      if end &- start == 1 {
        unsafe destinations[Int(tokens[start])] = Int32(truncatingIfNeeded: lone(group))
      } else {
        for i in start..<end { unsafe destinations[Int(tokens[i])] = -1 }
        others(group, start, end)
      }
    }
  }
}

/// From this many tokens on, sorting gains from threads; each step of it wakes them anew.
private let parallelTokens = 1 << 15
private let mostParts = 64
/// Tokens are counted in 32 bits.
private let mostTokens = Int(Int32.max) - 1

private func checkTokenCount(_ count: Int) throws(EmbedError) {
  guard count <= mostTokens else {
    throw .invalidSize(argument: "tokens", value: count, expected: "at most \(mostTokens)")
  }
}
