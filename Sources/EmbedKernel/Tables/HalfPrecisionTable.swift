// A table of row vectors in two bytes an element: half an `EmbeddingTable`'s memory and traffic. For
// training, keep an `EmbeddingTable` of master rows beside it, or round its updates
// stochastically (`Kernels.roundStochastically`).

/// `rows` vectors of `dim` elements of two bytes, row after row.
///
/// The same rules as for `EmbeddingTable`: any number of threads may read at once, and a writer
/// needs the table to itself; rows are brought up to date where they are read, under an optimiser that
/// leaves rows behind.
public final class HalfPrecisionTable<Element: HalfPrecision>: @unchecked Sendable {
  /// The number of rows.
  public let rows: Int

  /// The number of elements in a row.
  public let dim: Int

  let storage: AlignedBuffer<Element>

  /// The optimisers that leave rows behind. Entered while a writer has the table to itself.
  var ledgers: [RowLedger] = []

  /// Allocates a table of zeros: `rows * dim * 2` bytes.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public init(rows: Int, dim: Int) throws(EmbedError) {
    guard rows > 0 else { throw .invalidSize(argument: "rows", value: rows, expected: "1 or more") }
    guard dim > 0 else { throw .invalidSize(argument: "dim", value: dim, expected: "1 or more") }
    self.rows = rows
    self.dim = dim
    storage = try AlignedBuffer(count: elementCount("table", rows, dim))
  }

  /// Rounds the elements of `table` to nearest even.
  public convenience init(rounding table: EmbeddingTable) throws(EmbedError) {
    try self.init(rows: table.rows, dim: table.dim)
    try round(table)
  }

  /// Copies `elements`, shape `[rows, dim]`.
  public convenience init(rows: Int, dim: Int, copying elements: Span<Element>) throws(EmbedError) {
    try self.init(rows: rows, dim: dim)
    guard elements.count == rows * dim else {
      throw .wrongElementCount(
        argument: "elements", expected: rows * dim, shape: [rows, dim], actual: elements.count)
    }
    unsafe elements.withUnsafeBufferPointer {
      unsafe _ = storage.unsafeBuffer.initialize(fromContentsOf: $0)
    }
  }

  /// Takes the elements of `table`, rounded to nearest even, as after a step on master rows.
  /// Allocates nothing.
  ///
  /// - Throws: `wrongElementCount` for a table of another shape.
  public func round(
    _ table: EmbeddingTable, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    guard table.rows == rows, table.dim == dim else {
      throw .wrongElementCount(
        argument: "table", expected: rows * dim, shape: [rows, dim], actual: table.rows * table.dim)
    }
    var output = unsafe MutableSpan(_unsafeElements: unsafeBuffer)
    let input = table.span
    try kernels.convert(input, into: &output)
  }

  /// A table of the same elements as floats; exact.
  public func widened(using kernels: Kernels = .auto) throws(EmbedError) -> EmbeddingTable {
    let table = try EmbeddingTable(rows: rows, dim: dim)
    var output = unsafe MutableSpan(_unsafeElements: table.unsafeBuffer)
    let input = span
    try kernels.convert(input, into: &output)
    return table
  }

  /// All elements, shape `[rows, dim]`, all rows up to date.
  public var span: Span<Element> {
    @_lifetime(borrow self)
    get {
      unsafe _overrideLifetime(
        Span(_unsafeElements: UnsafeBufferPointer(unsafeBuffer)), borrowing: self)
    }
  }

  /// All elements, shape `[rows, dim]`, for a reader of the rows `ids` alone: see
  /// ``EmbeddingTable/span(of:)``.
  @inlinable
  @_lifetime(borrow self)
  public func span<ID: TokenID>(of ids: Span<ID>) -> Span<Element> {
    let ids = unsafe TokenIDs(ids.withUnsafeBufferPointer { unsafe $0 })
    return unsafe _overrideLifetime(
      Span(_unsafeElements: UnsafeBufferPointer(memory(reading: ids))), borrowing: self)
  }

  /// Row `row`.
  ///
  /// - Precondition: `row` is in `0..<rows`.
  public subscript(row: Int) -> Span<Element> {
    @_lifetime(borrow self)
    get {
      precondition(row >= 0 && row < rows, "row out of bounds")
      bringUp(.row(row))
      return unsafe _overrideLifetime(
        Span(_unsafeStart: storage.base + row * dim, count: dim), borrowing: self)
    }
  }

  /// Gives `body` all elements for writing; no other thread may use the table meanwhile.
  public func withMutableSpan<Result: ~Copyable, Failure: Error>(
    _ body: (inout MutableSpan<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var span = unsafe MutableSpan(_unsafeElements: unsafeBuffer)
    return try body(&span)
  }

  /// The memory itself, valid for as long as the table lives, all rows up to date until a step.
  public var unsafeBuffer: UnsafeMutableBufferPointer<Element> {
    bringUp(.all)
    return unsafe memory
  }

  /// The element of row `row` in column `column`.
  ///
  /// - Precondition: `row` is in `0..<rows` and `column` in `0..<dim`.
  public subscript(row: Int, column: Int) -> Element {
    get {
      precondition(row >= 0 && row < rows, "row out of bounds")
      precondition(column >= 0 && column < dim, "column out of bounds")
      bringUp(.row(row))
      return unsafe storage.base[row * dim + column]
    }
    set {
      precondition(row >= 0 && row < rows, "row out of bounds")
      precondition(column >= 0 && column < dim, "column out of bounds")
      bringUp(.row(row))
      unsafe storage.base[row * dim + column] = newValue
    }
  }

  // MARK: Rows that are behind

  /// The memory as it is, rows that are behind included.
  var memory: UnsafeMutableBufferPointer<Element> { unsafe storage.unsafeBuffer }

  /// The memory, for a reader of the rows `ids`.
  @usableFromInline
  func memory(reading ids: TokenIDs) -> UnsafeMutableBufferPointer<Element> {
    bringUp(.ids(ids))
    return unsafe memory
  }
}

extension HalfPrecisionTable: SteppedTable {}
