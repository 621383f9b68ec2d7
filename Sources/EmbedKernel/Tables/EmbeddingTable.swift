// A table of row vectors: token table (V, D) or position table (T, D). It is the parameter that
// training updates, so it is shared by reference: a tied output head uses the same table. In two bytes
// an element it takes half the memory and traffic; for training, keep a table of master rows in Float
// beside such a one, or round its updates stochastically (`Kernels.roundStochastically`).

/// `rows` vectors of `dim` elements, row after row: `Float`, `BFloat16` or `Half`.
///
/// Any number of threads may read at once. A writer (an optimiser step, an initialiser) needs the
/// table to itself, as with any training parameter; the type does not lock.
///
/// Under an optimiser that leaves rows behind (`untouched: .caughtUp`), rows are brought up to date
/// where they are read, by whatever way: a span, a layer's forward pass, a file. Ways that name no rows
/// bring all up to date, O(R·D) for R rows that are behind; `span(of:)` and layers only those that
/// they read. A pointer or span that is kept over a step sees the rows as that step leaves them.
public final class EmbeddingTable<Element: TableElement>: @unchecked Sendable {
  /// The number of rows: the vocabulary size, or the maximum context.
  public let rows: Int

  /// The number of elements in a row.
  public let dim: Int

  // Only `move(to:)` writes it, which needs the table to itself.
  @exclusivity(unchecked) package private(set) var storage: AlignedBuffer<Element>

  /// The optimisers that leave rows behind. Entered while a writer has the table to itself.
  var ledgers: [RowLedger] = []

  /// Allocates a table of zeros.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public init(rows: Int, dim: Int) throws(EmbedError) {
    self.rows = rows
    self.dim = dim
    unsafe storage = try AlignedBuffer(count: tableSize("table", rows, dim))
  }

  /// A table of someone else's memory, which is read and written in place.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `wrongElementCount`.
  package init(
    rows: Int, dim: Int, borrowing memory: UnsafeMutableBufferPointer<Element>,
    of owner: BorrowedMemory
  ) throws(EmbedError) {
    try EmbedCall.check("table", memory.count, tableSize("table", rows, dim), [rows, dim])
    self.rows = rows
    self.dim = dim
    unsafe storage = AlignedBuffer(borrowing: memory, of: owner)
  }

  /// Goes on with other memory of someone else's, which is to stay as long as the first would have.
  package func move(to memory: UnsafeMutableRawPointer) {
    let count = rows * dim
    unsafe storage = AlignedBuffer(
      borrowing: UnsafeMutableBufferPointer(
        start: memory.bindMemory(to: Element.self, capacity: count), count: count),
      of: storage.owner ?? BorrowedMemory())
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

  /// All elements, shape `[rows, dim]`, all rows up to date.
  public var span: Span<Element> {
    @_lifetime(borrow self)
    get {
      unsafe _overrideLifetime(
        Span(_unsafeElements: UnsafeBufferPointer(unsafeBuffer)), borrowing: self)
    }
  }

  /// All elements, shape `[rows, dim]`, for a reader of the rows `ids` alone: other rows may be behind
  /// where an optimiser leaves rows behind.
  ///
  /// - Parameter ids: In any order and with repeats; ids outside the table count as the nearest row.
  /// - Complexity: O(N) for N ids, and O(R·D) for R of their rows that are behind; O(1) for a table
  ///   without such an optimiser.
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

  /// The elements as they are, rows that are behind included.
  package var elements: Elements { unsafe Elements(UnsafeBufferPointer(memory)) }

  /// The memory as it is, rows that are behind included.
  package var memory: UnsafeMutableBufferPointer<Element> { unsafe storage.unsafeBuffer }

  /// The memory, for a reader of the rows `ids`.
  @usableFromInline
  package func memory(reading ids: TokenIDs) -> UnsafeMutableBufferPointer<Element> {
    bringUp(.ids(ids))
    return unsafe memory
  }
}

extension EmbeddingTable<Float> {
  /// Allocates a table and fills it from `initialization`.
  ///
  /// - Parameters:
  ///   - seed: The same seed gives the same bits for every thread count and machine.
  ///   - stream: Separates tables made from one seed.
  public convenience init(
    rows: Int, dim: Int, _ initialization: Initialization, seed: UInt64 = 0, stream: UInt64 = 0
  ) throws(EmbedError) {
    try self.init(rows: rows, dim: dim)
    try unsafe initialization.fill(unsafeBuffer, seed: seed, stream: stream)
  }
}

extension EmbeddingTable where Element: SixteenBitElement {
  /// Rounds the elements of `table` to nearest even.
  public convenience init(rounding table: EmbeddingTable<Float>) throws(EmbedError) {
    try self.init(rows: table.rows, dim: table.dim)
    try round(table)
  }

  /// Takes the elements of `table`, rounded to nearest even, as after a step on master rows.
  /// Allocates nothing.
  ///
  /// - Throws: `wrongElementCount` for a table of another shape.
  public func round(
    _ table: EmbeddingTable<Float>, using kernels: Kernels = .auto
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
  public func widened(using kernels: Kernels = .auto) throws(EmbedError) -> EmbeddingTable<Float> {
    let table = try EmbeddingTable<Float>(rows: rows, dim: dim)
    var output = unsafe MutableSpan(_unsafeElements: table.unsafeBuffer)
    let input = span
    try kernels.convert(input, into: &output)
    return table
  }
}
