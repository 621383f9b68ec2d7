// A table whose rows are a file's pages: faults of the file as errors of a call, and where rows lie in it.

internal import CKernels
internal import EmbedFiles
package import EmbedKernel

/// The files that a table's rows and scales are mapped from, and how much of them may be resident.
@safe package final class TablePages: @unchecked Sendable {
  let table: ek_rows
  let count: Int
  private let scaleBytes: Int
  /// What the rows and the scales beside them are in; nil for memory of no file.
  private let rowFile: MappedFile?
  private let scaleFile: MappedFile?
  /// What bounds the resident pages; nil where nothing does.
  let clock: ResidentPages?
  /// Bytes that calls read at a time where there is a bound.
  private let bytesAtOnce: Int

  /// Nil for a table that no file has a part of.
  ///
  /// - Parameter limit: Bytes that may be resident.
  init?(
    _ table: ek_rows, rows: Int, bytes: UnsafeRawBufferPointer, scales: UnsafeRawBufferPointer,
    limit: Int?
  ) throws(EmbedError) {
    unsafe rowFile = MappedFile(of: bytes)
    unsafe scaleFile = MappedFile(of: scales)
    if rowFile == nil, scaleFile == nil { return nil }
    self.table = table
    count = rows
    scaleBytes = scales.count
    guard let limit else {
      clock = nil
      bytesAtOnce = 0
      return
    }
    guard limit >= 1 << 20 else {
      throw .invalidSize(
        argument: "resident limit", value: limit, expected: "\(1 << 20) bytes or more")
    }
    // What no table reaches takes no more book-keeping than the whole table.
    let most = bytes.count + scales.count + 4 * BlockClock.blockBytes
    clock = try ResidentPages(limit: min(limit, max(1 << 20, most)))
    bytesAtOnce = limit / 16
  }

  /// The files, each once.
  private var files: (MappedFile?, MappedFile?) {
    rowFile == nil ? (scaleFile, nil) : (rowFile, rowFile == scaleFile ? nil : scaleFile)
  }

  // MARK: Calls

  /// Begins a call that reads rows.
  ///
  /// - Throws: `unreadableRow` where the file is not what was mapped.
  package func enter() throws(EmbedError) {
    let (first, second) = files
    if let first, !first.enter() { throw error(first) }
    if let second, !second.enter() {
      _ = first?.leave()
      throw error(second)
    }
  }

  /// Ends it.
  ///
  /// - Throws: `unreadableRow` where what was read has no meaning.
  package func leave() throws(EmbedError) {
    let (first, second) = files
    let isFirstWell = first?.leave() ?? true
    let isSecondWell = second?.leave() ?? true
    if let first, !isFirstWell { throw error(first) }
    if let second, !isSecondWell { throw error(second) }
  }

  /// The fault of a file, by the first row that it concerns.
  private func error(_ file: MappedFile) -> EmbedError {
    let fault = file.fault
    let offset = fault?.offset ?? 0
    let address = unsafe UnsafeRawPointer(file.base) + offset
    let isOfRows =
      file == rowFile && (unsafe address < table.bytes + count * table.row_bytes)
      || file != scaleFile
    let row =
      isOfRows
      ? unsafe (address - table.bytes) / max(1, table.row_bytes)
      : unsafe (address - table.scales) / max(1, table.scale_bytes) << Int(table.scale_shift)
    return .unreadableRow(
      row: max(0, min(row, count - 1)), path: file.path, offset: offset,
      reason: fault?.reason ?? "it has a fault")
  }

  // MARK: Pages

  /// The bytes of a row's scales that are read with it.
  var scaleBytesOfRow: Int { table.scale_bytes == 0 ? scaleBytes : table.scale_bytes }

  /// Calls `body` with the bytes of a row, and with those of its scales: where they are, and how many.
  @inline(__always)
  func forEachPart(of row: Int, _ body: (_ start: Int, _ count: Int) -> Void) {
    if rowFile != nil {
      body(unsafe Int(bitPattern: table.bytes) + row &* table.row_bytes, table.row_bytes)
    }
    if scaleFile != nil {
      body(
        unsafe Int(bitPattern: table.scales)
          + (row >> Int(table.scale_shift)) &* table.scale_bytes,
        scaleBytesOfRow)
    }
  }

  /// Calls `body` with each file that has some of `range`, of addresses, and with what it has.
  @inline(__always)
  private func forEachPlace(in range: Range<Int>, _ body: (MappedFile, Range<Int>) -> Void) {
    func visit(_ file: MappedFile?) {
      guard let file else { return }
      let base = unsafe Int(bitPattern: file.base)
      let inside = range.clamped(to: base..<base + file.byteCount)
      if !inside.isEmpty { body(file, inside.lowerBound - base..<inside.upperBound - base) }
    }
    let (first, second) = files
    visit(first)
    visit(second)
  }

  func ask(_ range: Range<Int>) { forEachPlace(in: range) { $0.ask($1) } }

  func fill(_ range: Range<Int>) {
    // What cannot be read is an error when the call ends.
    forEachPlace(in: range) { _ = $0.fill($1) }
  }

  /// The same in large pages where the system has them, of what is not in memory yet; some of what lies
  /// beside the range is read too.
  func fillLarge(_ range: Range<Int>) {
    forEachPlace(in: range) { file, place in
      // A part at a time, as the range may be larger than memory.
      for start in stride(from: place.lowerBound, to: place.upperBound, by: 64 << 20) {
        let part = start..<min(start + (64 << 20), place.upperBound)
        file.readLarge(part)
        _ = file.fill(part)
      }
    }
  }

  /// The pages of a block that the page cache has, a bit each.
  func cached(_ block: Int) -> UInt32 {
    var pages: UInt32 = 0
    forEachPlace(in: Self.addresses(block..<block + 1)) { pages |= $0.cached($1) }
    return pages
  }

  /// Gives a block back.
  func drop(_ block: Int) {
    forEachPlace(in: Self.addresses(block..<block + 1)) { $0.drop($1) }
  }

  /// Takes the pages of blocks from this process alone.
  func unmap(_ blocks: Range<Int>) {
    forEachPlace(in: Self.addresses(blocks)) { $0.unmap($1) }
  }

  private static func addresses(_ blocks: Range<Int>) -> Range<Int> {
    blocks.lowerBound * BlockClock.blockBytes..<blocks.upperBound * BlockClock.blockBytes
  }

  // MARK: Bounded calls

  /// How many rows a call reads at a time, each wherever it may be; all where nothing bounds them.
  var rowsAtOnce: Int {
    guard clock != nil else { return .max }
    let block = BlockClock.blockBytes
    let blocks = (table.row_bytes + block - 1) / block + 1 + (table.scale_bytes > 0 ? 1 : 0)
    return max(1, bytesAtOnce / (blocks * block))
  }

  /// Lets the rows of a visit in, whatever the limit, and reads them.
  ///
  /// - Parameter ids: Calls what it is given with each id.
  @inline(__always)
  func visit(_ ids: ((Int) -> Void) -> Void, _ body: () -> Void) {
    guard let clock else { return body() }
    let visit = clock.withLock { clock in
      let visit = clock.begin()
      ids { id in
        _ = admit(max(0, min(id, count - 1)), visit, &clock, insists: true) { _ in }
      }
      return visit
    }
    body()
    clock.withLock { $0.end(visit, self) }
  }

  /// Lets a row's pages in.
  ///
  /// - Parameter added: Called with the addresses of pages that were not in.
  /// - Returns: Whether there was room.
  @inline(__always)
  func admit(
    _ row: Int, _ visit: Int, _ clock: inout BlockClock, insists: Bool,
    _ added: (Range<Int>) -> Void
  ) -> Bool {
    let page = min(MappedFile.pageSize, BlockClock.blockBytes)
    var hasRoom = true
    forEachPart(of: row) { start, count in
      var at = start & ~(page - 1)
      let end = (start + count + page - 1) & ~(page - 1)
      while at < end, hasRoom {
        let block = at / BlockClock.blockBytes
        let blockStart = block * BlockClock.blockBytes
        let stop = min(end, blockStart + BlockClock.blockBytes)
        let pages =
          UInt32(truncatingIfNeeded: (1 << ((stop - at) / page)) - 1)
          << UInt32(truncatingIfNeeded: (at - blockStart) / page)
        guard let new = clock.admit(block, pages: pages, visit, self, insists: insists) else {
          hasRoom = false
          return
        }
        if new != 0 { added(at..<stop) }
        at = stop
      }
    }
    return hasRoom
  }
}

extension Optional<TablePages> {
  /// Calls `body` with parts of `range` whose rows are resident meanwhile: with all of it where nothing bounds
  /// them.
  ///
  /// - Parameter id: The id of a place in the range.
  @inline(__always)
  func visitParts(of range: Range<Int>, _ id: (Int) -> Int, _ body: (Range<Int>) -> Void) {
    guard let pages = self, pages.clock != nil else { return body(range) }
    range.forEachPart(of: pages.rowsAtOnce) { part in
      pages.visit({ admit in part.forEach { admit(id($0)) } }) { body(part) }
    }
  }
}

extension RowTable {
  /// Does what reads rows: where a file's page is lost or the file has changed, that is an error.
  @inline(__always)
  package func reading(_ body: () throws(EmbedError) -> Void) throws(EmbedError) {
    guard let pages else { return try body() }
    try pages.enter()
    do throws(EmbedError) {
      try body()
    } catch {
      // What was wrong with the call comes first.
      try? pages.leave()
      throw error
    }
    try pages.leave()
  }
}
