// A checked call on rows of any format: cut as a call on floats is, and done by C.

internal import CKernels
internal import EmbedKernel

/// A call: output[b, t, :] = scale * decoded(tokens[ids[b, t], :]) + positions[place(b, t), :].
@safe struct RowEmbedCall {
  let call: EmbedCall
  let table: ek_rows
  let pages: TablePages?

  func run(_ kernels: Kernels) throws(EmbedError) {
    let plan = try plan(kernels)
    if call.outputBytes == 0 { return }
    guard call.isRegular else { return runRowByRow(plan) }
    let work = unsafe RowEmbedWork(
      walk: EmbedWalk(call), table: table, pages: pages, traffic: plan.traffic,
      kernels: plan.kernels)
    work.split(work.walk.count, plan.threads)
  }

  /// The limits are in bytes: the plan is that for as many bytes of floats. Decoding is arithmetic, for
  /// which the widest vectors are best in cache too.
  private func plan(_ kernels: Kernels) throws(EmbedError) -> Plan {
    var shape = call.shape
    shape.dim = (shape.dim * call.written.byteCount + 3) / 4
    var kernels = kernels
    var limits = kernels.limits
    limits.avx2Dim = .max
    kernels.tuning = limits
    return try Plan(kernels, shape)
  }
}

/// A range of a call's columns, rows or tokens.
@safe private struct RowEmbedWork: ParallelWork {
  let walk: EmbedWalk
  let table: ek_rows
  let pages: TablePages?
  let traffic: Traffic
  let kernels: UnsafePointer<ek_kernels>

  /// Quantised rows are prefetched as far ahead as their bytes allow, beyond the 32 pages that a CPU's
  /// own prefetcher follows: it would go on behind each row.
  private var rowsAhead: Int {
    traffic.prefetchRows == 0 ? 0 : max(traffic.prefetchRows, min(48, (64 << 10) / table.row_bytes))
  }

  func run(_ range: Range<Int>) {
    guard let pages, pages.clock != nil else { return walk(range, nil) }
    // So many rows at a time as may be resident.
    let step = max(1, pages.rowsAtOnce / max(1, walk.call.tokenCount / max(1, walk.count)))
    range.forEachPart(of: step) { walk($0, pages) }
  }

  private func walk(_ range: Range<Int>, _ pages: TablePages?) {
    let call = walk.call
    // Small rectangles are in cache whichever way they are walked: write them in order.
    let byPosition = traffic.prefetchRows > 0
    walk.forEachTile(in: range, traffic, byPosition: byPosition) { first, rows in
      var rows = rows
      rows.prefetch_rows = rowsAhead
      var tile = ek_row_tile(
        rows: rows, table: table, positions: call.input.code, output: call.written.code)
      guard let pages else {
        unsafe kernels.pointee.embed_rows(&tile)
        return
      }
      pages.visit({ admit in rows.forEachToken { token, _ in admit(call.ids[first + token]) } }) {
        unsafe kernels.pointee.embed_rows(&tile)
      }
    }
  }
}

// MARK: Ids and positions outside their tables

extension RowEmbedCall {
  /// The same sum, with ids and positions resolved by the options' policies.
  private func runRowByRow(_ plan: Plan) {
    let kernels = unsafe plan.kernels
    Threads.split(call.tokenCount, plan.threads) { range in
      unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: RowByRow.width) { columns in
        pages.visitParts(of: range, { call.ids[$0] }) { part in
          let body = unsafe RowByRow(
            call: call, table: table, kernels: kernels, range: part,
            columns: columns.baseAddress.unsafelyUnwrapped)
          body.run(call.input, call.written)
        }
      }
    }
  }
}

@safe private struct RowByRow: ElementBody {
  /// Columns decoded at a time: a whole number of blocks of any format.
  static let width = 256

  let call: EmbedCall
  let table: ek_rows
  let kernels: UnsafePointer<ek_kernels>
  let range: Range<Int>
  let columns: UnsafeMutablePointer<Float>

  func run<Position: StoredElement, Output: StoredElement>(
    _ position: Position.Type, _ output: Output.Type
  ) {
    let last = call.shape.vocabulary - 1
    call.places.forEachRun(context: call.shape.context, in: range) { start, count, first in
      for token in start..<start + count {
        let id = call.ids[token]
        let isZero = (id < 0 || id > last) && call.options.unknownIDs == .zeroRow
        let place = unsafe call.positionRow(min(first + token - start, call.maximum - 1))
        unsafe add(
          isZero ? nil : max(0, min(id, last)), place, call.outputRow(token), position, output)
      }
    }
  }

  /// out[:] = scale * row[:] + place[:], nothing in place of no row.
  private func add<Position: StoredElement, Output: StoredElement>(
    _ row: Int?, _ place: UnsafeRawPointer?, _ out: UnsafeMutableRawPointer,
    _ position: Position.Type, _ output: Output.Type
  ) {
    var table = table
    let dim = call.shape.dim
    for column in stride(from: 0, to: dim, by: Self.width) {
      let count = min(Self.width, dim - column)
      if let row { unsafe kernels.pointee.decode_row(&table, row, column, count, columns) }
      for i in 0..<count {
        var value = unsafe row == nil ? 0 : columns[i] * call.options.scale
        let at = (column + i) * MemoryLayout<Position>.size
        if let place = unsafe place { unsafe value += Position.load(place + at) }
        unsafe Output.store(value, out + (column + i) * MemoryLayout<Output>.size)
      }
    }
  }
}
