// Which blocks of a mapped table are in memory, and which of them go when there is no room: the clock, as
// virtual memory has it. A block that was read since the hand came by stays for another round.
//
// Blocks are of 64 KiB, since the system maps cached neighbours of a page within as much at once; counted are
// a block's pages that are in the page cache or are about to be, so that the count is never too low.

internal import CSystem
internal import EmbedFiles
internal import EmbedKernel

/// A table's clock, for one thread at a time.
final class ResidentPages: Sendable {
  private let clock: Guarded<BlockClock>

  /// - Parameter limit: Bytes that may be resident, 1 MiB or more.
  init(limit: Int) throws(EmbedError) { clock = Guarded(try BlockClock(bytes: limit)) }

  @inline(__always)
  func withLock<Result>(_ body: (inout BlockClock) -> Result) -> Result { clock.withLock(body) }
}

/// The resident pages of up to two mappings.
@safe struct BlockClock: ~Copyable, Sendable {
  static let blockBytes = 1 << 16
  private static let pageBytes = min(MappedFile.pageSize, blockBytes)
  private static let none: Int32 = -1

  /// A block in memory.
  private struct Slot: BitwiseCopyable {
    /// By address; -1 where the slot is free.
    var block: Int
    /// The last visit that read it.
    var visit: Int
    var pages: UInt32
    var isReferenced: Bool
  }

  /// Pages that may be resident.
  private let capacity: Int
  /// Pages that are.
  private var held = 0
  private var slots: AlignedBuffer<Slot>
  /// Slots by blocks: open addressing, at most half full.
  private var index: AlignedBuffer<Int32>
  private var free: AlignedBuffer<Int32>
  private var freeCount: Int
  private var hand = 0
  private var lastVisit = 0
  /// Visits that have not ended, whose blocks stay.
  private var visits: [Int] = []
  /// Blocks that visits let in, which may bring neighbours until those end.
  private var fresh: [(block: Int, visit: Int)] = []

  /// - Parameter bytes: What may be resident, 1 MiB or more.
  init(bytes: Int) throws(EmbedError) {
    let capacity = bytes / Self.pageBytes
    // Calls that run at once may go past the capacity.
    let count = capacity + capacity / 4 + 1024
    guard count <= Int(Int32.max) / 4 else {
      throw .invalidSize(
        argument: "resident limit", value: bytes,
        expected: "at most 1 TiB; without one there is none")
    }
    var size = 1
    while size < 2 * count { size *= 2 }
    let slots = try AlignedBuffer<Slot>(count: count)
    let index = try AlignedBuffer<Int32>(count: size)
    let free = try AlignedBuffer<Int32>(count: count)
    for i in 0..<size { unsafe index.unsafeBuffer[i] = Self.none }
    for i in 0..<count {
      unsafe slots.unsafeBuffer[i].block = -1
      unsafe free.unsafeBuffer[i] = Int32(truncatingIfNeeded: count - 1 - i)
    }
    self.capacity = capacity
    self.slots = slots
    self.index = index
    self.free = free
    freeCount = count
    visits.reserveCapacity(256)
    fresh.reserveCapacity(1_024)
  }

  // MARK: Visits

  /// Begins to read: the blocks that are let in for the visit stay until it ends.
  mutating func begin() -> Int {
    lastVisit += 1
    visits.append(lastVisit)
    return lastVisit
  }

  /// Ends a visit, and gives back what is above the limit.
  mutating func end(_ visit: Int, _ table: borrowing TablePages) {
    visits.removeAll { $0 == visit }
    for new in fresh where new.visit == visit { dropNeighbours(of: new.block, table) }
    fresh.removeAll { $0.visit == visit }
    while held > capacity, evict(table) {}
  }

  /// Lets pages of a block in, which are about to be read.
  ///
  /// - Parameters:
  ///   - pages: A bit each.
  ///   - insists: Whether to go past the limit where all that is resident is being read.
  /// - Returns: Which of the pages were not in; nil where there was no room.
  mutating func admit(
    _ block: Int, pages: UInt32, _ visit: Int, _ table: borrowing TablePages, insists: Bool
  ) -> UInt32? {
    let found = slot(of: block)
    if let found {
      var slot = unsafe slots.unsafeBuffer[found]
      // A later visit may have it too.
      slot.visit = max(slot.visit, visit)
      slot.isReferenced = true
      unsafe slots.unsafeBuffer[found] = slot
      if pages & ~slot.pages == 0 { return 0 }
    }
    let before = found.map { unsafe slots.unsafeBuffer[$0].pages } ?? 0
    let after = before | pages | table.cached(block)
    if fresh.last.map({ $0 != (block, visit) }) ?? true { fresh.append((block, visit)) }
    let more = (after ^ before).nonzeroBitCount
    while held + more > capacity || found == nil && freeCount == 0 {
      if evict(table) { continue }
      guard insists, found != nil || freeCount > 0 else { return nil }
      break
    }
    held += more
    if let found {
      unsafe slots.unsafeBuffer[found].pages = after
    } else {
      freeCount -= 1
      let new = unsafe Int(free.unsafeBuffer[freeCount])
      unsafe slots.unsafeBuffer[new] = Slot(
        block: block, visit: visit, pages: after, isReferenced: false)
      insert(block, new)
    }
    return pages & ~before
  }

  /// Gives back the next block that nobody reads; false where all are being read.
  private mutating func evict(_ table: borrowing TablePages) -> Bool {
    let oldest = visits.min() ?? .max
    // Within two rounds every block that may go has lost its mark.
    for _ in 0..<2 * slots.count {
      let at = hand
      hand = hand + 1 == slots.count ? 0 : hand + 1
      let slot = unsafe slots.unsafeBuffer[at]
      guard slot.block >= 0, slot.visit < oldest else { continue }
      guard !slot.isReferenced else {
        unsafe slots.unsafeBuffer[at].isReferenced = false
        continue
      }
      table.drop(slot.block)
      remove(slot.block)
      unsafe slots.unsafeBuffer[at].block = -1
      unsafe free.unsafeBuffer[freeCount] = Int32(truncatingIfNeeded: at)
      freeCount += 1
      held -= slot.pages.nonzeroBitCount
      return true
    }
    return false
  }

  /// Gives back blocks that nobody let in: the system may map all of a large page of the cache, up to 2 MiB,
  /// when a part of it is touched.
  private func dropNeighbours(of block: Int, _ table: borrowing TablePages) {
    let reach = (2 << 20) / Self.blockBytes
    var first = block - reach + 1
    for at in block - reach + 1...block + reach {
      // A block that another visit reads is in the index.
      guard at == block + reach || slot(of: at) != nil else { continue }
      if first < at { table.unmap(first..<at) }
      first = at + 1
    }
  }

  // MARK: Index

  private func home(_ block: Int) -> Int {
    let mixed = UInt(bitPattern: block) &* 0x9E37_79B9_7F4A_7C15
    return Int(bitPattern: (mixed >> 32) & UInt(bitPattern: index.count - 1))
  }

  private func slot(of block: Int) -> Int? {
    var at = home(block)
    while true {
      let found = unsafe index.unsafeBuffer[at]
      if found == Self.none { return nil }
      if unsafe slots.unsafeBuffer[Int(found)].block == block { return Int(found) }
      at = (at + 1) & (index.count - 1)
    }
  }

  private mutating func insert(_ block: Int, _ slot: Int) {
    var at = home(block)
    while unsafe index.unsafeBuffer[at] != Self.none { at = (at + 1) & (index.count - 1) }
    unsafe index.unsafeBuffer[at] = Int32(truncatingIfNeeded: slot)
  }

  /// Takes a block out, and moves up those behind it that would not be found otherwise.
  private mutating func remove(_ block: Int) {
    let mask = index.count - 1
    var at = home(block)
    while unsafe slots.unsafeBuffer[Int(index.unsafeBuffer[at])].block != block {
      at = (at + 1) & mask
    }
    var next = at
    while true {
      next = (next + 1) & mask
      let found = unsafe index.unsafeBuffer[next]
      if found == Self.none { break }
      let wanted = home(unsafe slots.unsafeBuffer[Int(found)].block)
      guard (next &- wanted) & mask >= (next &- at) & mask else { continue }
      unsafe index.unsafeBuffer[at] = found
      at = next
    }
    unsafe index.unsafeBuffer[at] = Self.none
  }
}
