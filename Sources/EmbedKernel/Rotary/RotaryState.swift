// The angles of one scale, and their rows of cosines and sines, one a position, in a table that grows
// when a call needs more.
//
// Angles are products of a position and a frequency in Double, and cosines and sines are rounded to
// Float once: position 1,000,000 is as exact as position 1. Rows past the table are computed as they
// are needed, by the same function, so they have the same bits.
//
// Readers take the table with one atomic load and no lock. A larger table replaces the old one,
// which stays for readers that still have it; sizes double, so all old ones together are no larger
// than the last.

internal import Synchronization

/// One set of angles and the rows computed so far.
@safe package final class RotaryState: Sendable {
  let pairs: Int
  let frequencies: AlignedBuffer<Double>
  /// Empty for none.
  private let growth: AlignedBuffer<Double>
  private let center: Double
  let factor: Double
  /// Empty for one coordinate.
  private let axes: AlignedBuffer<UInt8>
  /// The most rows that are kept.
  private let limit: Int

  private let current = unsafe Atomic<Unmanaged<RotaryTable>?>(nil)
  private let tables = Guarded<[RotaryTable]>([])

  /// - Parameters:
  ///   - growth: ln of each pair's growth a position, or nil.
  ///   - tableBytes: The most memory for the table in use.
  package init(
    _ angles: RotaryFrequencies, growth: [Double]? = nil, center: Int = 0, axes: [UInt8]? = nil,
    tableBytes: Int
  ) throws(EmbedError) {
    pairs = angles.radians.count
    frequencies = try AlignedBuffer(copying: angles.radians)
    factor = angles.attentionFactor
    self.growth = try AlignedBuffer(copying: growth ?? [])
    self.axes = try AlignedBuffer(copying: axes ?? [])
    self.center = Double(center)
    limit = tableBytes / max(pairs * 8, 1)
  }

  /// How many rows there are, without a lock.
  @inline(__always)
  var rowCount: Int { withRows { $0.tableRows } }

  /// Calls `body` with the rows there are, without a lock. This is the only way to them, and it
  /// holds this state until `body` returns: rows are pointers into it, so none may leave `body`.
  @inline(__always)
  package func withRows<Result, Failure: Error>(
    _ body: (RotaryRows) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try withExtendedLifetime(self) { () throws(Failure) in try body(rows) }
  }

  private var rows: RotaryRows {
    @inline(__always) get {
      guard let table = unsafe current.load(ordering: .acquiring) else {
        // No rows: the address is never read.
        return unsafe rows(
          UnsafeRawPointer(frequencies.base).assumingMemoryBound(to: Float.self), 0)
      }
      return unsafe table._withUnsafeGuaranteedRef { table in
        unsafe rows(UnsafePointer(table.storage.base), table.rows)
      }
    }
  }

  @inline(__always)
  private func rows(_ table: UnsafePointer<Float>, _ count: Int) -> RotaryRows {
    unsafe RotaryRows(
      table: table, tableRows: count, pairs: pairs, frequencies: UnsafePointer(frequencies.base),
      growth: growth.count > 0 ? UnsafePointer(growth.base) : nil, center: center, factor: factor,
      axes: axes.count > 0 ? UnsafePointer(axes.base) : nil)
  }

  /// Makes the table hold the positions `0..<count`, as far as the limit allows.
  package func reserve(_ count: Int) throws(EmbedError) {
    let wanted = min(count, limit)
    guard rowCount < wanted else { return }
    try tables.withLock { (tables) throws(EmbedError) in
      let old = rows
      guard old.tableRows < wanted else { return }
      let size = min(limit, max(64, wanted.roundedUpToPowerOfTwo))
      let table = try RotaryTable(rows: size, pairs: pairs)
      let known = old.tableRows * 2 * pairs
      unsafe table.storage.base.update(from: old.table, count: known)
      let threads = (size - old.tableRows) * pairs < 1 << 14 ? 1 : Threads.available
      Threads.split(size - old.tableRows, threads) { range in
        for position in range.lowerBound + old.tableRows..<range.upperBound + old.tableRows {
          unsafe old.compute(
            0..<pairs, position, into: table.storage.base + position * 2 * pairs)
        }
      }
      tables.append(table)
      unsafe current.store(Unmanaged.passUnretained(table), ordering: .releasing)
    }
  }
}

/// A row's source as plain pointers, valid for a call.
@safe package struct RotaryRows {
  /// Rows of 2P floats: cosines, then sines.
  let table: UnsafePointer<Float>
  let tableRows: Int
  let pairs: Int
  /// Radians a position.
  let frequencies: UnsafePointer<Double>
  /// Logarithms of each pair's growth a position, or nil.
  let growth: UnsafePointer<Double>?
  let center: Double
  let factor: Double
  /// The coordinate of each pair, or nil for one.
  let axes: UnsafePointer<UInt8>?

  /// The cosine and the sine of pair `pair` at `position`.
  @inline(__always)
  func element(_ pair: Int, _ position: Int) -> (cosine: Float, sine: Float) {
    let place = Double(position)
    let angle = unsafe place * frequencies[pair]
    let size = unsafe growth.map { unsafe factor * exponential((place - center) * $0[pair]) }
    return (Float(cosine(angle) * (size ?? factor)), Float(sine(angle) * (size ?? factor)))
  }

  /// The same from the table where it has the position.
  @inline(__always)
  package func known(_ pair: Int, _ position: Int) -> (cosine: Float, sine: Float) {
    guard position < tableRows else { return element(pair, position) }
    let row = unsafe table + position * 2 * pairs
    return unsafe (row[pair], row[pairs + pair])
  }

  /// Computes the pairs `range` of one position: cosines into `row`, sines into `row + range.count`.
  func compute(_ range: Range<Int>, _ position: Int, into row: UnsafeMutablePointer<Float>) {
    for pair in range {
      let at = pair - range.lowerBound
      unsafe (row[at], row[range.count + at]) = element(pair, position)
    }
  }

  /// The same with a coordinate for each pair: coordinate k is `positions[k * stride]`.
  func compute(
    _ range: Range<Int>, _ positions: UnsafePointer<Int32>, stride: Int,
    into row: UnsafeMutablePointer<Float>
  ) {
    for pair in range {
      let at = pair - range.lowerBound
      let position = unsafe Int(positions[axes.map { unsafe Int($0[pair]) * stride } ?? 0])
      unsafe (row[at], row[range.count + at]) = known(pair, position)
    }
  }
}

/// What makes a state, as a value that exists before the embedding does.
struct RotaryParts {
  let rotaryDim: Int
  let base: Double
  let scaling: any RotaryScaling
  let axes: RotaryAxes?
  let decay: XPosDecay?
  let tableBytes: Int

  init(
    _ rotaryDim: Int, _ base: Double, _ scaling: any RotaryScaling, _ axes: RotaryAxes?,
    _ decay: XPosDecay?, _ tableBytes: Int
  ) {
    self.rotaryDim = rotaryDim
    self.base = base
    self.scaling = scaling
    self.axes = axes
    self.decay = decay
    self.tableBytes = tableBytes
  }

  func frequencies(_ scale: RotaryScale) throws(EmbedError) -> RotaryFrequencies {
    var geometry = RotaryGeometry(rotaryDim: rotaryDim, base: base)
    let repeats = axes.flatMap { $0.isAxial ? $0.count : nil } ?? 1
    if repeats > 1 {
      // Each coordinate has the frequencies of a head of its own.
      guard rotaryDim.isMultiple(of: 2 * repeats) else {
        throw .invalidSize(
          argument: "rotaryDim", value: rotaryDim,
          expected: "a multiple of \(2 * repeats) with \(repeats) axes")
      }
      geometry.rotaryDim /= repeats
    }
    var angles = try scaling.frequencies(geometry, under: scale)
    guard angles.radians.count == geometry.rotaryDim / 2 else {
      throw .wrongElementCount(
        argument: "frequencies", expected: geometry.rotaryDim / 2,
        shape: [geometry.rotaryDim / 2], actual: angles.radians.count)
    }
    for value in angles.radians + [angles.attentionFactor] where !value.isFinite {
      throw .invalidValue(argument: "frequency", value: value, expected: "a finite number")
    }
    angles.radians = (0..<repeats).flatMap { _ in angles.radians }
    return angles
  }

  func state(_ scale: RotaryScale, _ role: RotaryRole) throws(EmbedError) -> RotaryState {
    let sign = role == .keys ? -1.0 : 1.0
    return try RotaryState(
      frequencies(scale), growth: decay?.logarithms(rotaryDim: rotaryDim).map { sign * $0 },
      center: decay?.center ?? 0, axes: try axes?.coordinates(pairs: rotaryDim / 2),
      // Angles of a single length are used for one call.
      tableBytes: { if case .length = scale { 0 } else { tableBytes } }())
  }
}

/// Rows of the positions `0..<rows`; never changed once published.
final class RotaryTable: Sendable {
  let rows: Int
  let storage: AlignedBuffer<Float>

  init(rows: Int, pairs: Int) throws(EmbedError) {
    self.rows = rows
    storage = try AlignedBuffer(count: elementCount("cos/sin table", rows, pairs, 2))
  }
}

extension AlignedBuffer {
  /// A copy of `elements`.
  package init(copying elements: [Element]) throws(EmbedError) {
    try self.init(count: elements.count)
    unsafe _ = unsafeBuffer.initialize(fromContentsOf: elements)
  }
}

extension Int {
  var roundedUpToPowerOfTwo: Int {
    self <= 1 ? 1 : 1 << (Int.bitWidth - (self - 1).leadingZeroBitCount)
  }
}
