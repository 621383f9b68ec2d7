// A table of rows in any format, to be read only: quantised here, copied, or in someone else's memory,
// such as a mapped file's.

package import CKernels
public import EmbedKernel

/// `rows` vectors of `dim` columns, row after row in a format.
///
/// Any number of threads may read at once; nothing writes.
@safe public final class RowTable: @unchecked Sendable {
  /// The number of rows: the vocabulary size.
  public let rows: Int

  /// The number of columns of a row.
  public let dim: Int

  /// How a row is stored.
  public let format: RowFormat

  /// The memory as the kernels see it, valid for as long as the table lives.
  package let view: ek_rows

  /// All bytes of the rows, and of the scales beside them.
  private let bytes: UnsafeRawBufferPointer
  private let scales: UnsafeRawBufferPointer

  /// The file that it is in, or that its scales are in; nil where neither is in one.
  package let pages: TablePages?

  /// Lives as long as the table, and its memory with it.
  private let owner: any AnyObject & Sendable

  /// A table of someone else's memory, which nobody writes meanwhile; at any address.
  ///
  /// - Parameters:
  ///   - bytes: The rows, one after another without gaps.
  ///   - scales: Where the format has scales beside the rows: theirs, one after another.
  ///   - rowsAScale: How many neighbouring rows share a row of scales: a power of two, or as many as
  ///     the table has or more where all do.
  ///   - residentLimit: How many bytes of files mapped in pages stay in memory; nil where nothing bounds it.
  ///   - owner: Whose memory it is; it lives as long as the table does.
  /// - Throws: `invalidSize`, `sizeOverflow`, `wrongElementCount` for too many bytes or too few.
  package init(
    rows: Int, dim: Int, format: RowFormat, bytes: UnsafeRawBufferPointer,
    scales: UnsafeRawBufferPointer = unsafe UnsafeRawBufferPointer(start: nil, count: 0),
    rowsAScale: Int = 1, residentLimit: Int? = nil, of owner: any AnyObject & Sendable
  ) throws(EmbedError) {
    let sizes = try RowSizes(rows: rows, dim: dim, format: format, rowsAScale: rowsAScale)
    try sizes.check(format, rows: rows, bytes: bytes.count, scales: scales.count)
    self.rows = rows
    self.dim = dim
    self.format = format
    unsafe self.bytes = bytes
    unsafe self.scales = scales
    self.owner = owner
    let base = unsafe bytes.baseAddress.unsafelyUnwrapped
    unsafe view = ek_rows(
      bytes: base, row_bytes: sizes.rowBytes, scales: scales.baseAddress ?? base,
      scale_bytes: rowsAScale >= rows ? 0 : sizes.scaleBytes,
      scale_shift: UInt8(rowsAScale >= rows ? 0 : rowsAScale.trailingZeroBitCount), dim: dim,
      format: format.code)
    pages = try unsafe TablePages(
      view, rows: rows, bytes: bytes, scales: scales, limit: residentLimit)
  }

  /// Copies rows that are in a format already.
  ///
  /// - Parameters:
  ///   - bytes: The rows, one after another.
  ///   - scales: Where the format has scales beside the rows: theirs, one after another; else none.
  ///   - rowsAScale: How many neighbouring rows share a row of scales: a power of two, or as many as
  ///     the table has or more where all do.
  /// - Throws: `invalidSize`, `sizeOverflow`, `wrongElementCount`, `outOfMemory`.
  public convenience init(
    rows: Int, dim: Int, format: RowFormat, copying bytes: Span<UInt8>,
    scales: Span<UInt8> = Span(), rowsAScale: Int = 1
  ) throws(EmbedError) {
    // What is wrong with the sizes is found before memory is taken.
    let sizes = try RowSizes(rows: rows, dim: dim, format: format, rowsAScale: rowsAScale)
    try sizes.check(format, rows: rows, bytes: bytes.count, scales: scales.count)
    let memory = try RowMemory(sizes)
    unsafe bytes.withUnsafeBufferPointer { unsafe memory.bytes.copyMemory(from: .init($0)) }
    unsafe scales.withUnsafeBufferPointer { unsafe memory.scales.copyMemory(from: .init($0)) }
    try unsafe self.init(
      rows: rows, dim: dim, format: format, bytes: UnsafeRawBufferPointer(memory.bytes),
      scales: UnsafeRawBufferPointer(memory.scales), rowsAScale: rowsAScale, of: memory)
  }

  /// Whether the rows, or their scales, are a file's pages.
  public var isMapped: Bool { pages != nil }

  /// The bytes of all rows; of a mapped table the file's own, whose faults end a process that reads them.
  public var rowBytes: Span<UInt8> {
    @_lifetime(borrow self)
    get { unsafe _overrideLifetime(Span(_unsafeBytes: bytes), borrowing: self) }
  }

  /// The bytes of the scales beside the rows; none where the format has none.
  public var scaleBytes: Span<UInt8> {
    @_lifetime(borrow self)
    get { unsafe _overrideLifetime(Span(_unsafeBytes: scales), borrowing: self) }
  }

  /// The bytes that the table takes.
  public var byteCount: Int { unsafe bytes.count + scales.count }
}

/// The sizes of a table, checked.
struct RowSizes {
  let rowBytes: Int
  let scaleBytes: Int
  /// Rows of scales.
  let scaleRows: Int
  /// All bytes of rows and of scales.
  let bytes: Int
  let scales: Int

  init(rows: Int, dim: Int, format: RowFormat, rowsAScale: Int = 1) throws(EmbedError) {
    guard rows > 0 else { throw .invalidSize(argument: "rows", value: rows, expected: "1 or more") }
    guard rowsAScale >= rows || (rowsAScale > 0 && rowsAScale.nonzeroBitCount == 1) else {
      throw .invalidSize(
        argument: "rows a scale", value: rowsAScale, expected: "a power of two, or all rows")
    }
    rowBytes = try format.rowBytes(dim: dim)
    scaleBytes = try format.scaleBytes(dim: dim)
    scaleRows = rowsAScale >= rows ? 1 : (rows - 1) / rowsAScale + 1
    // The rows decoded, too, are to be addressable.
    _ = try elementCount("table", rows, dim)
    bytes = try elementCount("table", rows, rowBytes)
    scales = try elementCount("scales", scaleRows, scaleBytes)
  }

  /// Checks that so many bytes are those of `rows` rows of `format`, and of their scales.
  func check(_ format: RowFormat, rows: Int, bytes: Int, scales: Int) throws(EmbedError) {
    guard bytes == self.bytes else {
      throw .wrongElementCount(
        argument: "bytes of \(format.rawValue) rows", expected: self.bytes,
        shape: [rows, rowBytes], actual: bytes)
    }
    guard scales == self.scales else {
      throw .wrongElementCount(
        argument: "bytes of scales of \(format.rawValue) rows", expected: self.scales,
        shape: [scaleRows, scaleBytes], actual: scales)
    }
  }
}

/// Memory for a table's rows and scales.
@safe final class RowMemory: Sendable {
  private let rows: AlignedBuffer<UInt8>
  private let beside: AlignedBuffer<UInt8>

  init(_ sizes: RowSizes) throws(EmbedError) {
    rows = try AlignedBuffer(count: sizes.bytes)
    beside = try AlignedBuffer(count: sizes.scales)
  }

  @unsafe var bytes: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(rows.unsafeBuffer)
  }
  @unsafe var scales: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(beside.unsafeBuffer)
  }
}
