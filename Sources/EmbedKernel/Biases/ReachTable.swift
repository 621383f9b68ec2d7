// Tables over distance that grow on demand: built once, shared by layers and threads, and read
// without a lock.

internal import Synchronization

/// A table with `rows` entries of `width` elements for each distance within a reach.
///
/// The entry of key - query = delta stands at index `past + delta`, so entries rise with the key.
/// Growing publishes a larger table; the smaller ones live on for readers that still hold them, at
/// most as much memory again.
@safe package final class ReachTable<Element: BitwiseCopyable & Sendable>: @unchecked Sendable {
  /// The table of one reach.
  @safe package final class Snapshot: @unchecked Sendable {
    package let reach: BiasReach
    package let values: AlignedBuffer<Element>

    /// The same for readers, in memory of its own.
    fileprivate let view: UnsafeMutablePointer<View>

    fileprivate init(_ reach: BiasReach, rows: Int, width: Int) throws(EmbedError) {
      self.reach = reach
      values = try AlignedBuffer(count: elementCount("distance table", rows, reach.count, width))
      unsafe view = .allocate(capacity: 1)
      unsafe view.initialize(
        to: View(
          reach: reach, rowStride: reach.count &* width,
          first: values.unsafeBuffer.baseAddress.unsafelyUnwrapped + reach.past &* width))
    }

    deinit { unsafe view.deallocate() }
  }

  /// What a reader needs of a table: plain values, so that reading counts no references.
  @safe package struct View {
    package let reach: BiasReach
    /// Elements from one row to the next.
    package let rowStride: Int
    /// The entry of delta 0 in row 0.
    package let first: UnsafeMutablePointer<Element>

    /// The entry of delta 0 in row `row`.
    @inline(__always)
    package func origin(_ row: Int = 0) -> UnsafeMutablePointer<Element> {
      unsafe first + row &* rowStride
    }
  }

  package typealias Fill = @Sendable (Snapshot) throws(EmbedError) -> Void

  /// The longest distance a table is grown to, unless a scheme says otherwise.
  package static var longest: Int { 1 << 24 }

  private let rows: Int
  private let width: Int
  private let fill: Fill
  private let current = Atomic<UInt>(0)
  private let snapshots = Guarded<[Snapshot]>([])

  /// A table of nothing yet, whose `rows` rows `fill` writes.
  package init(rows: Int, width: Int = 1, _ fill: @escaping Fill) {
    self.rows = rows
    self.width = width
    self.fill = fill
  }

  /// The newest table; `cover(_:)` has made one.
  @inline(__always)
  package var newest: View {
    let address = current.load(ordering: .acquiring)
    return unsafe UnsafePointer<View>(bitPattern: address).unsafelyUnwrapped.pointee
  }

  /// Makes the table cover `reach`. Allocates and locks only where it did not.
  @inline(__always)
  package func cover(_ reach: BiasReach) throws(EmbedError) {
    if current.load(ordering: .acquiring) != 0, newest.reach.covers(reach) { return }
    try grow(reach)
  }

  private func grow(_ reach: BiasReach) throws(EmbedError) {
    for distance in [reach.past, -reach.future] where abs(distance) > Self.longest {
      throw .distanceOutOfRange(distance: distance, limit: Self.longest)
    }
    try snapshots.withLock { (list) throws(EmbedError) in
      let old = list.last?.reach ?? BiasReach(past: 0, future: 0)
      if list.last?.reach.covers(reach) == true { return }
      let grown = BiasReach(
        past: Self.room(old.past, reach.past), future: Self.room(old.future, reach.future))
      let snapshot = try Snapshot(grown, rows: rows, width: width)
      try fill(snapshot)
      list.append(snapshot)
      current.store(UInt(bitPattern: unsafe snapshot.view), ordering: .releasing)
    }
  }

  /// Writes the newest table again, after what it is made from has changed. No other thread may use
  /// the table meanwhile.
  package func refresh() throws(EmbedError) {
    try snapshots.withLock { (list) throws(EmbedError) in
      if let snapshot = list.last { try fill(snapshot) }
    }
  }

  private static func room(_ old: Int, _ needed: Int) -> Int {
    needed <= old ? old : min(longest, max(needed, 2 * old))
  }
}
