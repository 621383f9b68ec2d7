// The gradient of a table of which a batch touched few rows: the touched rows, sorted, and a vector
// for each. At GPT-2's vocabulary and 32 tokens it holds some 25 KB where a dense one holds 51 MB.
//
// R rows, D dim.

/// A gradient `[rows, dim]` that is zero but for the rows it lists.
///
/// The memory is reused from step to step: it grows to the largest batch seen and stays.
public struct RowSparseGradient: ~Copyable {
  /// The number of rows of the table.
  public let rows: Int

  /// The number of floats of a row.
  public let dim: Int

  /// The number of rows listed.
  public private(set) var count = 0

  private var rowStorage: AlignedBuffer<Int32>
  private var valueStorage: AlignedBuffer<Float>
  /// Where the next sum goes; empty until gradients are added.
  private var spareRows: AlignedBuffer<Int32>
  private var spareValues: AlignedBuffer<Float>

  /// An empty gradient for a table `[rows, dim]`, with room for `capacity` listed rows.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public init(rows: Int, dim: Int, capacity: Int = 0) throws(EmbedError) {
    guard rows > 0, rows <= Int(Int32.max) else {
      throw .invalidSize(argument: "rows", value: rows, expected: "1...\(Int32.max)")
    }
    guard dim > 0 else { throw .invalidSize(argument: "dim", value: dim, expected: "1 or more") }
    let ids = try AlignedBuffer<Int32>(count: capacity)
    let values = try AlignedBuffer<Float>(count: elementCount("row gradient", capacity, dim))
    let spareRows = try AlignedBuffer<Int32>(count: 0)
    let spareValues = try AlignedBuffer<Float>(count: 0)
    self.rows = rows
    self.dim = dim
    rowStorage = ids
    valueStorage = values
    self.spareRows = spareRows
    self.spareValues = spareValues
  }

  /// A gradient in someone else's memory, of which the first `count` rows are there already. One that
  /// lists more rows than there is room for moves to memory of its own.
  ///
  /// - Parameters:
  ///   - rowIDs: Rising, each once and below `rows`, as far as they are there.
  ///   - values: Shape `[rowIDs.count, dim]`.
  /// - Throws: `invalidSize`, `wrongElementCount`, `outOfMemory`.
  package init(
    rows: Int, dim: Int, count: Int, borrowing rowIDs: UnsafeMutableBufferPointer<Int32>,
    _ values: UnsafeMutableBufferPointer<Float>, of owner: BorrowedMemory
  ) throws(EmbedError) {
    guard count >= 0, count <= rowIDs.count else {
      throw .invalidSize(argument: "count", value: count, expected: "0...\(rowIDs.count)")
    }
    let elements = try elementCount("row gradient", rowIDs.count, dim)
    guard values.count == elements else {
      throw .wrongElementCount(
        argument: "values", expected: elements, shape: [rowIDs.count, dim], actual: values.count)
    }
    try self.init(rows: rows, dim: dim)
    unsafe rowStorage = AlignedBuffer(borrowing: rowIDs, of: owner)
    unsafe valueStorage = AlignedBuffer(borrowing: values, of: owner)
    self.count = count
  }

  /// The number of rows there is room for without allocating.
  public var capacity: Int { rowStorage.count }

  /// The rows listed, rising, each once.
  public var rowIDs: Span<Int32> {
    @_lifetime(borrow self)
    get { rowStorage.span.extracting(first: count) }
  }

  /// Their values, shape `[count, dim]`.
  public var values: Span<Float> {
    @_lifetime(borrow self)
    get { valueStorage.span.extracting(first: count * dim) }
  }

  /// Their values for writing, shape `[count, dim]`.
  public var mutableValues: MutableSpan<Float> {
    @_lifetime(&self)
    mutating get {
      unsafe _overrideLifetime(
        MutableSpan(_unsafeStart: valueStorage.base, count: count * dim), mutating: &self)
    }
  }

  /// Lists no row.
  public mutating func removeAll() { count = 0 }

  /// Makes room for `count` rows, whose ids and values the caller writes before anyone reads them.
  ///
  /// Allocates only where a batch is larger than any before; then the old values are lost.
  package mutating func resize(to count: Int) throws(EmbedError) {
    if count > capacity {
      let room = max(count, capacity + capacity / 2)
      let ids = try AlignedBuffer<Int32>(count: room)
      let values = try AlignedBuffer<Float>(count: elementCount("row gradient", room, dim))
      rowStorage = ids
      valueStorage = values
    }
    self.count = count
  }

  /// Makes room for a sum of `count` rows beside the values.
  mutating func reserveSpare(_ count: Int) throws(EmbedError) {
    guard spareRows.count < count else { return }
    let room = max(count, capacity)
    let ids = try AlignedBuffer<Int32>(count: room)
    let values = try AlignedBuffer<Float>(count: elementCount("row gradient", room, dim))
    spareRows = ids
    spareValues = values
  }

  /// Makes the sum of `count` rows the values.
  mutating func exchangeSpare(count: Int) {
    swap(&rowStorage, &spareRows)
    swap(&valueStorage, &spareValues)
    self.count = count
  }

  var spareRowMemory: UnsafeMutablePointer<Int32> { unsafe spareRows.base }
  var spareValueMemory: UnsafeMutablePointer<Float> { unsafe spareValues.base }

  /// The ids' memory, `capacity` elements.
  package var rowIDMemory: UnsafeMutablePointer<Int32> { unsafe rowStorage.base }

  /// The values' memory, `capacity * dim` elements.
  package var valueMemory: UnsafeMutablePointer<Float> { unsafe valueStorage.base }
}
