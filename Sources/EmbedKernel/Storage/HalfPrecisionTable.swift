// A table of row vectors in two bytes an element: half an `EmbeddingTable`'s memory and traffic. For
// training, keep an `EmbeddingTable` of master rows beside it, or round its updates
// stochastically (`Kernels.roundStochastically`).

/// `rows` vectors of `dim` elements of two bytes, row after row.
///
/// The same rules as for `EmbeddingTable`: any number of threads may read at once, and a writer
/// needs the table to itself.
public final class HalfPrecisionTable<Element: HalfPrecision>: @unchecked Sendable {
  /// The number of rows.
  public let rows: Int

  /// The number of elements in a row.
  public let dim: Int

  private let storage: AlignedBuffer<Element>

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

  /// All elements, shape `[rows, dim]`.
  public var span: Span<Element> {
    @_lifetime(borrow self)
    get {
      unsafe _overrideLifetime(
        Span(_unsafeElements: UnsafeBufferPointer(unsafeBuffer)), borrowing: self)
    }
  }

  /// Row `row`.
  ///
  /// - Precondition: `row` is in `0..<rows`.
  public subscript(row: Int) -> Span<Element> {
    @_lifetime(borrow self)
    get {
      precondition(row >= 0 && row < rows, "row out of bounds")
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

  /// The memory itself, valid for as long as the table lives.
  public var unsafeBuffer: UnsafeMutableBufferPointer<Element> { unsafe storage.unsafeBuffer }
}
