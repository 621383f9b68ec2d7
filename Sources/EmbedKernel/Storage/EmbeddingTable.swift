// A table of row vectors: token table (V, D) or position table (T, D). It is the parameter that
// training updates, so it is shared by reference: a tied output head uses the same table.

/// `rows` vectors of `dim` floats, row after row.
///
/// Any number of threads may read at once. A writer (an optimiser step, an initialiser) needs the
/// table to itself, as with any training parameter; the type does not lock.
public final class EmbeddingTable: @unchecked Sendable {
  /// The number of rows: the vocabulary size, or the maximum context.
  public let rows: Int

  /// The number of floats in a row.
  public let dim: Int

  let storage: AlignedBuffer<Float>

  /// Allocates a table of zeros: `rows * dim * 4` bytes.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public init(rows: Int, dim: Int) throws(EmbedError) {
    guard rows > 0 else { throw .invalidSize(argument: "rows", value: rows, expected: "1 or more") }
    guard dim > 0 else { throw .invalidSize(argument: "dim", value: dim, expected: "1 or more") }
    self.rows = rows
    self.dim = dim
    storage = try AlignedBuffer(count: elementCount("table", rows, dim))
  }

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

  /// Copies `elements`, shape `[rows, dim]`.
  public convenience init(rows: Int, dim: Int, copying elements: Span<Float>) throws(EmbedError) {
    try self.init(rows: rows, dim: dim)
    guard elements.count == rows * dim else {
      throw .wrongElementCount(
        argument: "elements", expected: rows * dim, shape: [rows, dim], actual: elements.count)
    }
    unsafe elements.withUnsafeBufferPointer {
      unsafe _ = storage.unsafeBuffer.initialize(fromContentsOf: $0)
    }
  }

  /// All elements, shape `[rows, dim]`.
  public var span: Span<Float> {
    @_lifetime(borrow self)
    get { unsafe _overrideLifetime(Span(_unsafeElements: elements), borrowing: self) }
  }

  /// Row `row`.
  ///
  /// - Precondition: `row` is in `0..<rows`.
  public subscript(row: Int) -> Span<Float> {
    @_lifetime(borrow self)
    get {
      precondition(row >= 0 && row < rows, "row out of bounds")
      return unsafe _overrideLifetime(
        Span(_unsafeStart: storage.base + row * dim, count: dim), borrowing: self)
    }
  }

  /// Gives `body` all elements for writing; no other thread may use the table meanwhile.
  public func withMutableSpan<Result: ~Copyable, Failure: Error>(
    _ body: (inout MutableSpan<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var span = unsafe MutableSpan(_unsafeElements: unsafeBuffer)
    return try body(&span)
  }

  private var elements: UnsafeBufferPointer<Float> { unsafe UnsafeBufferPointer(unsafeBuffer) }

  /// The memory itself, valid for as long as the table lives.
  public var unsafeBuffer: UnsafeMutableBufferPointer<Float> { unsafe storage.unsafeBuffer }
}
