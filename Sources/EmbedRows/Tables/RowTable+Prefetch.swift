// Rows of a mapped table brought into memory before a call reads them.
//
// The pages of the ids' rows are sorted, so that equal ids are read once and neighbours in one read. They are
// asked for in that order (`posix_fadvise`, which queues them and returns), and mapped some thousand later
// (`MADV_POPULATE_READ`, which waits): by then they are there. One thread so keeps the device's queue full, and
// maps pages while the device works.

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
  /// Reads that wait for the device: more than its queue takes, so that mapping the oldest waits for nothing.
  private static let inFlight = 1_024
  /// From here on a range is read in the system's large pages, of 2 MiB.
  private static let largeBytes = 4 << 20

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
    // Ids in order make one entry of many.
    if count > 0 {
      let last = unsafe runs[count - 1] >> Self.lengthBits
      let stop = unsafe last + (runs[count - 1] & (Self.longest - 1)) + 1
      if first >= last, first <= stop, end - last <= Self.longest {
        unsafe runs[count - 1] = last << Self.lengthBits | (max(stop, end) - last - 1)
        return
      }
    }
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
    var (asked, filled) = (0, 0)
    var waiting = 0
    // With a limit, nothing is read beside what was let in.
    let readsLarge = stage == .finished && pages.clock == nil
    func isLarge(_ range: Range<Int>) -> Bool { readsLarge && range.count >= Self.largeBytes }
    while let range = run(from: &asked) {
      if isLarge(range) { pages.fillLarge(range) } else { pages.ask(range) }
      waiting += 1
      if stage == .finished, waiting > Self.inFlight, let range = run(from: &filled) {
        if !isLarge(range) { pages.fill(range) }
      }
    }
    while stage == .finished, let range = run(from: &filled) {
      if !isLarge(range) { pages.fill(range) }
    }
  }

  /// The addresses of pages that are read together, of entries from `next` on; nil where there are none.
  private func run(from next: inout Int) -> Range<Int>? {
    guard next < count else { return nil }
    let start = unsafe runs[next] >> Self.lengthBits
    var end = start
    // With a limit, what is read is what was let in.
    let gap = pages.clock == nil ? Self.gap : 0
    while next < count {
      let first = unsafe runs[next] >> Self.lengthBits
      guard end == start || first <= end + gap else { break }
      end = unsafe max(end, first + (runs[next] & (Self.longest - 1)) + 1)
      next += 1
    }
    return start * pageSize..<end * pageSize
  }
}
