// The dense gradient of a whole table: what a tied head needs, whose every row has a gradient. The
// input's part, which touches few rows, is added to it, so that clipping and step see one.
//
// V rows, D dim.

/// A gradient `[rows, dim]` that several parts add to.
public struct TableGradient: ~Copyable {
  /// The number of rows of the table.
  public let rows: Int

  /// The number of floats of a row.
  public let dim: Int

  private var storage: AlignedBuffer<Float>

  /// Zeros for a table `[rows, dim]`: `rows * dim * 4` bytes.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public init(rows: Int, dim: Int) throws(EmbedError) {
    let storage = try AlignedBuffer<Float>(count: tableSize("table gradient", rows, dim))
    self.rows = rows
    self.dim = dim
    self.storage = storage
  }

  /// A gradient in someone else's memory, with what is in it.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `wrongElementCount`.
  package init(
    rows: Int, dim: Int, borrowing memory: UnsafeMutableBufferPointer<Float>,
    of owner: BorrowedMemory
  ) throws(EmbedError) {
    try EmbedCall.check(
      "table gradient", memory.count, tableSize("table gradient", rows, dim), [rows, dim])
    self.rows = rows
    self.dim = dim
    unsafe storage = AlignedBuffer(borrowing: memory, of: owner)
  }

  /// Zeros for `table`.
  ///
  /// - Throws: `outOfMemory`.
  public init(for table: EmbeddingTable<Float>) throws(EmbedError) {
    try self.init(rows: table.rows, dim: table.dim)
  }

  /// All elements, shape `[rows, dim]`.
  public var values: Span<Float> {
    @_lifetime(borrow self)
    get { storage.span }
  }

  /// All elements for writing, shape `[rows, dim]`.
  public var mutableValues: MutableSpan<Float> {
    @_lifetime(&self)
    mutating get { storage.mutableSpan }
  }

  /// The memory itself, valid for as long as this value lives.
  public var unsafeBuffer: UnsafeMutableBufferPointer<Float> { unsafe storage.unsafeBuffer }

  /// Adds a row-sparse gradient of the same table.
  ///
  ///     for k in 0..<part.count: self[part.rowIDs[k], :] += scale * part.values[k, :]
  ///
  /// Each element gets one addition, so the bits are the same for every number of threads.
  ///
  /// - Throws: `invalidSize` for a gradient of other sizes, `invalidValue` for a scale that is not
  ///   finite; before anything is written.
  public mutating func add(
    _ part: borrowing RowSparseGradient, scale: Float = 1, threads: Int? = nil
  ) throws(EmbedError) {
    guard part.rows == rows else {
      throw .invalidSize(
        argument: "rows of the row-sparse gradient", value: part.rows, expected: "\(rows)")
    }
    guard part.dim == dim else {
      throw .invalidSize(
        argument: "dim of the row-sparse gradient", value: part.dim, expected: "\(dim)")
    }
    guard scale.isFinite else {
      throw .invalidValue(argument: "scale", value: Double(scale), expected: "a finite number")
    }
    if let threads, threads < 1 {
      throw .invalidSize(argument: "threads", value: threads, expected: "1 or more")
    }
    let isSmall = part.count * dim < 1 << 15
    let work = unsafe AddRows(
      target: storage.base, ids: part.rowIDMemory, values: part.valueMemory, dim: dim,
      scale: scale)
    Threads.split(part.count, threads ?? (isSmall ? 1 : Threads.available), work)
  }

  /// Sets all elements to 0.
  public mutating func removeAll() { unsafe storage.unsafeBuffer.update(repeating: 0) }

  /// Sets a row to 0.
  mutating func clear(row: Int) {
    unsafe (storage.base + row * dim).update(repeating: 0, count: dim)
  }

  /// - Throws: `invalidSize` where this is not of the table's sizes.
  package func checkSizes(of table: EmbeddingTable<Float>) throws(EmbedError) {
    guard rows == table.rows else {
      throw .invalidSize(
        argument: "rows of the table gradient", value: rows, expected: "\(table.rows)")
    }
    guard dim == table.dim else {
      throw .invalidSize(
        argument: "dim of the table gradient", value: dim, expected: "\(table.dim)")
    }
  }
}

/// target[ids[k], :] += scale * values[k, :], the ids being distinct
@safe private struct AddRows: ParallelWork {
  let target: UnsafeMutablePointer<Float>
  let ids: UnsafePointer<Int32>
  let values: UnsafePointer<Float>
  let dim: Int
  let scale: Float

  init(
    target: UnsafeMutablePointer<Float>, ids: UnsafePointer<Int32>, values: UnsafePointer<Float>,
    dim: Int, scale: Float
  ) {
    unsafe self.target = target
    unsafe self.ids = ids
    unsafe self.values = values
    self.dim = dim
    self.scale = scale
  }

  func run(_ range: Range<Int>) {
    for k in range {
      let row = unsafe target + Int(ids[k]) &* dim
      let value = unsafe values + k &* dim
      if scale == 1 {
        for i in 0..<dim { unsafe row[i] += value[i] }
      } else {
        for i in 0..<dim { unsafe row[i] += scale * value[i] }
      }
    }
  }
}
