// Rows of a mapped table brought into memory before a call reads them.
//
// The pages of the ids' rows are sorted, so that equal ids are read once and neighbours in one read; all are
// asked for at once (`posix_fadvise`, which queues them and returns), and then mapped in the same order
// (`MADV_POPULATE_READ`, which waits). One thread so keeps the device's queue full.

internal import CKernels
internal import EmbedFiles
public import EmbedKernel

/// When a prefetch returns.
public enum PrefetchStage: Sendable {
  /// When the system was asked for the rows, which it reads in the background.
  case started
  /// When the rows are in memory.
  case finished
}

extension RowTable {
  /// Brings the rows of `ids` into memory, so that a call which reads them need not wait for the disk.
  ///
  /// Equal ids are read once, and rows that lie within 8 KiB of each other in one read. Of a table in memory
  /// there is nothing to do. Any number of threads may prefetch and read at once.
  ///
  /// - Parameters:
  ///   - ids: `Int32`, `Int64` or `Int`.
  ///   - unknownIDs: As the call will have it; rows of zeros are not read.
  ///   - stage: Whether to wait. The work is the calling thread's, which is free from `started` on.
  /// - Returns: How many of the ids, from the first on, have their rows in memory: fewer than all where a
  ///   resident limit has no room for more.
  /// - Throws: `tokenOutOfRange` before anything is read, `unreadableRow`. Allocates up to 128 KiB for
  ///   the time of the call.
  @discardableResult
  @inlinable
  public func prefetch<IDs: ReadableElements & ~Copyable & ~Escapable>(
    _ ids: borrowing IDs, unknownIDs: UnknownIDs = .error, until stage: PrefetchStage = .finished
  ) throws(EmbedError) -> Int where IDs.Element: TokenID {
    try unsafe ids.withElements { (ids) throws(EmbedError) in
      try unsafe prefetch(TokenIDs(ids), unknownIDs, stage)
    }
  }

  @usableFromInline
  package func prefetch(
    _ ids: TokenIDs, _ unknownIDs: UnknownIDs, _ stage: PrefetchStage
  ) throws(EmbedError) -> Int {
    if unknownIDs == .error, let error = ids.firstOutside(rows, context: max(1, ids.count)) {
      throw error
    }
    guard let pages else { return ids.count }
    var done = 0
    try reading {
      unsafe withUnsafeTemporaryAllocation(of: Int.self, capacity: PageRuns.capacity) { memory in
        var runs = unsafe PageRuns(memory, of: pages)
        while done < ids.count {
          let before = done
          let isFull = runs.collect(ids, &done, zeroes: unknownIDs == .zeroRow)
          runs.read(stage)
          runs.end()
          if isFull || done == before { return }
        }
      }
    }
    return done
  }
}

/// Pages to be read: each entry a page's number and how many follow it, as one integer that sorts by the
/// former.
@safe private struct PageRuns {
  static let capacity = 16_384
  private static let lengthBits = 12
  private static let longest = 1 << lengthBits
  /// Pages that nobody asked for are read where fewer are between two that somebody did.
  private static let gap = 2

  private let runs: UnsafeMutableBufferPointer<Int>
  private let pages: TablePages
  private let pageSize = MappedFile.pageSize
  private let capacity: Int
  private var count = 0
  /// Where there is a limit: what keeps the pages until they are read.
  private var visit = 0

  init(_ memory: UnsafeMutableBufferPointer<Int>, of pages: TablePages) {
    unsafe runs = memory
    self.pages = pages
    capacity = memory.count
  }

  private mutating func add(_ range: Range<Int>) {
    var first = range.lowerBound / pageSize
    let end = (range.upperBound + pageSize - 1) / pageSize
    while first < end {
      let length = min(end - first, Self.longest)
      unsafe runs[count] = first << Self.lengthBits | (length - 1)
      count += 1
      first += length
    }
  }

  /// Collects the pages of the next ids, as many as there is room for; true where the limit has none.
  mutating func collect(_ ids: TokenIDs, _ done: inout Int, zeroes: Bool) -> Bool {
    count = 0
    // A row's entries, at most: for its bytes, scales, and with a limit one for each block.
    let bytes = pages.table.row_bytes + pages.scaleBytesOfRow
    let perRow = bytes / min(Self.longest * pageSize, BlockClock.blockBytes) + 6
    let last = pages.count - 1
    guard let clock = pages.clock else {
      while done < ids.count, count + perRow <= capacity {
        let id = ids[done]
        done += 1
        if zeroes, id < 0 || id > last { continue }
        pages.forEachPart(of: max(0, min(id, last))) { add($0..<$0 + $1) }
      }
      return false
    }
    return clock.withLock { clock in
      visit = clock.begin()
      while done < ids.count, count + perRow <= capacity {
        let id = ids[done]
        if !(zeroes && (id < 0 || id > last)) {
          let row = max(0, min(id, last))
          let fits = pages.admit(row, visit, &clock, insists: false) { add($0) }
          if !fits { return true }
        }
        done += 1
      }
      return false
    }
  }

  /// Lets others have the room of what was read.
  func end() { pages.clock?.withLock { $0.end(visit, pages) } }

  /// Reads what was collected.
  func read(_ stage: PrefetchStage) {
    var found = unsafe UnsafeMutableBufferPointer(rebasing: runs[..<count])
    unsafe found.sort()
    forEachRun { pages.ask($0) }
    if stage == .finished { forEachRun { pages.fill($0) } }
  }

  /// Calls `body` with addresses of pages that are read together.
  private func forEachRun(_ body: (Range<Int>) -> Void) {
    var (start, end) = (0, 0)
    for i in 0..<count {
      let first = unsafe runs[i] >> Self.lengthBits
      let stop = unsafe first + (runs[i] & (Self.longest - 1)) + 1
      // With a limit, what is read is what was let in.
      if i > 0, first <= end + (pages.clock == nil ? Self.gap : 0) {
        end = max(end, stop)
        continue
      }
      if i > 0 { body(start * pageSize..<end * pageSize) }
      (start, end) = (first, stop)
    }
    if count > 0 { body(start * pageSize..<end * pageSize) }
  }
}
