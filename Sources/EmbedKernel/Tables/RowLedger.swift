// What a table knows of an optimiser that leaves rows behind: whoever reads rows has them brought up
// to date first, through here, so that no reader can meet a stale one.
//
// A table without such an optimiser has no ledger, and reading it costs one look at an empty list. One
// with ledgers takes a lock for each call: rows that are brought up to date are written, and readers of
// other threads may be at it too. Rows that are up to date are never written, so reading needs no lock.

/// The rows that are about to be read or written.
@safe package enum ReadRows {
  case all
  case row(Int)
  /// The rows of token ids; an id outside the table counts as the nearest row where it is clamped, else as none.
  case ids(TokenIDs, outside: UnknownIDs = .clamp)
  case listed(UnsafePointer<Int32>, count: Int)
  /// The rows of positions; one past the table counts as the last row.
  case places(Places, batch: Int, context: Int)

  /// Calls `body` for each row of a table of `count` rows, in any order, maybe several times.
  @inline(__always)
  func forEach(of count: Int, _ body: (Int) -> Void) {
    switch self {
    case .all:
      for row in 0..<count { body(row) }
    case .row(let row):
      body(row)
    case .ids(let ids, let outside):
      for i in 0..<ids.count {
        let row = min(max(ids[i], 0), count - 1)
        if row == ids[i] || outside == .clamp { body(row) }
      }
    case .listed(let rows, let length):
      for k in 0..<length { unsafe body(Int(rows[k])) }
    case .places(let places, let batch, let context):
      places.forEachRun(context: context, in: 0..<batch * context) { _, length, position in
        for row in position..<position + length { body(min(max(row, 0), count - 1)) }
      }
    }
  }
}

/// An optimiser that leaves rows behind, as the tables that it moves know it.
///
/// The optimiser closes it when it is released, and brings all rows up to date before.
@safe final class RowLedger: @unchecked Sendable {
  private let lock = Guarded<Void>(())
  /// Nil once the optimiser is gone. Read and written under the lock only.
  private var optimizer: Unmanaged<TableOptimizer>?

  /// Whether it moves rows that an optimiser before it moves, too.
  let sharesRows: Bool

  init(_ optimizer: TableOptimizer, sharesRows: Bool) {
    unsafe self.optimizer = Unmanaged.passUnretained(optimizer)
    self.sharesRows = sharesRows
  }

  /// Whether the optimiser is gone.
  var isClosed: Bool { lock.withLock { _ in unsafe optimizer == nil } }

  /// Brings rows up to date. Allocates nothing.
  func bringUp(
    _ rows: ReadRows, _ kernels: Kernels = .auto, _ what: CatchUpWork.What = .parameters
  ) {
    lock.withLock { _ in
      unsafe optimizer?._withUnsafeGuaranteedRef { $0.catchUp(rows, kernels, what) }
    }
  }

  /// Brings all rows up to date for the last time.
  func close() {
    lock.withLock { _ in
      unsafe optimizer?._withUnsafeGuaranteedRef { $0.catchUp(.all, .auto, .everything) }
      unsafe optimizer = nil
    }
  }

  /// Does `body` while no reader brings rows up to date.
  func withLock<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) {
    try lock.withLock { (_) throws(Failure) in try body() }
  }

  /// Whether the optimiser moves one of the rows that `other` moves.
  func movesRows(of other: TableOptimizer) -> Bool {
    lock.withLock { _ in
      unsafe optimizer?._withUnsafeGuaranteedRef { $0.sharesRows(with: other) } ?? false
    }
  }
}

extension EmbeddingTable {
  /// Brings rows up to date for all optimisers that leave rows behind. Where there is none, it costs the
  /// look.
  @inline(__always)
  package func bringUp(_ rows: ReadRows, _ kernels: Kernels = .auto) {
    if !ledgers.isEmpty { ledgers.bringUp(rows, kernels) }
  }

  /// Brings the position rows of a batch up to date.
  ///
  /// - Throws: `EmbedError` for positions that do not fit the batch, as the call that reads them does.
  @inline(__always)
  package func bringUp(
    _ place: PositionIDs, _ shape: EmbeddingShape, _ kernels: Kernels
  ) throws(EmbedError) {
    if !ledgers.isEmpty { try bringUpPlaces(place, shape, kernels) }
  }

  private func bringUpPlaces(
    _ place: PositionIDs, _ shape: EmbeddingShape, _ kernels: Kernels
  ) throws(EmbedError) {
    // Positions are read from the caller's memory: their number is checked first.
    _ = try shape.check()
    _ = try place.check(batch: shape.batch, context: shape.context, maximum: rows)
    place.withPlaces(context: shape.context) { places in
      bringUp(.places(places, batch: shape.batch, context: shape.context), kernels)
    }
  }
}

extension [RowLedger] {
  /// Brings rows up to date for every optimiser but the one whose ledger is `own`.
  ///
  /// Outlined, so that callers carry no more than the look whether there is one.
  @inline(never)
  func bringUp(_ rows: ReadRows, except own: RowLedger? = nil, _ kernels: Kernels = .auto) {
    for ledger in self where ledger !== own { ledger.bringUp(rows, kernels) }
  }

  /// Enters a ledger for `optimizer`, in place of those that are closed.
  mutating func enter(_ ledger: RowLedger) {
    removeAll { $0.isClosed }
    append(ledger)
  }
}
