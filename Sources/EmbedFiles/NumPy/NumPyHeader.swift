// What stands before the data in a `.npy` file: magic string, version, and a Python dictionary.
//
//     \x93NUMPY  major minor  length (2 bytes in 1.0, 4 in 2.0 and 3.0)  {'descr': ..., ...}\n
//
// Source: NumPy's `numpy.lib.format` documentation (NEP 1). The reading is total: any bytes give a
// header or a `NumPyError`. The dictionary's text is read by `NumPyHeaderParser`.

/// The header of a `.npy` file: element type, shape, and where the data begin.
public struct NumPyHeader: Equatable, Sendable {
  /// The type of the elements.
  public let elementType: NumPyElementType

  /// The dimensions, outermost first; empty for a single number.
  public let shape: [Int]

  /// Elements in all, the product of `shape`.
  public let count: Int

  /// Bytes of the file before the first element.
  public let dataOffset: Int

  /// Whether the file holds the elements column by column (Fortran order) where that is another
  /// order than row by row, so that reading transposes them. False where at most one dimension is
  /// above 1, whatever the file says.
  public let isTransposed: Bool

  /// Bytes of data after the header.
  public var dataByteCount: Int { count * elementType.byteCount }

  /// Reads the header of the file at `path`, and checks that the data are as long as it says.
  ///
  /// Reads versions 1.0, 2.0 and 3.0. Allocates the header's text, not the data.
  ///
  /// - Throws: `NumPyError`, naming the path and what is wrong there.
  public init(contentsOf path: String) throws(NumPyError) {
    let file = try NumPyError.wrapping(try InputFile(path))
    try self.init(file)
  }
}

extension NumPyHeader {
  /// `\x93NUMPY`.
  private static let magic: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59]

  /// Text that a header may hold. A number type and a shape need some hundred bytes; the bound
  /// keeps a damaged length from asking for gigabytes.
  private static let maximumTextLength = 1 << 16

  /// Where NumPy begins the data: at a multiple of this, so that a mapped file is aligned.
  private static let dataAlignment = 64

  /// Reads the header of `file`, an open file or an archive's member in memory.
  init<Source: ByteSource & ~Copyable>(_ file: borrowing Source) throws(NumPyError) {
    let path = file.path
    let text = try Self.text(of: file)
    var parser = NumPyHeaderParser(path: path, text: text.bytes, offset: text.offset)
    let fields = try parser.parse()

    let elementType = try Self.elementType(named: fields.descriptor, path: path)
    guard let count = Self.elementCount(of: fields.shape, byteCount: elementType.byteCount) else {
      throw .shapeOverflow(path: path, shape: fields.shape)
    }
    let wide = fields.shape.count { $0 > 1 }
    isTransposed = fields.isFortranOrder && count > 0 && wide > 1
    guard !isTransposed || wide == 2 else {
      throw .fortranOrder(path: path, shape: fields.shape)
    }
    self.elementType = elementType
    self.shape = fields.shape
    self.count = count
    self.dataOffset = text.offset + text.bytes.count

    let actual = file.byteCount - dataOffset
    guard actual == dataByteCount else {
      throw .dataSize(path: path, shape: shape, expected: dataByteCount, actual: actual)
    }
  }

  /// The dictionary's bytes and their offset in the file.
  private static func text<Source: ByteSource & ~Copyable>(
    of file: borrowing Source
  ) throws(NumPyError) -> (bytes: [UInt8], offset: Int) {
    let path = file.path
    let preamble = try NumPyError.wrapping(try file.bytes(at: 0, count: 12))
    guard preamble.starts(with: magic) else {
      // A file cut inside the magic string is damaged; any other is simply of another kind.
      guard !preamble.isEmpty, magic.starts(with: preamble) else {
        throw .notNumPy(path: path, found: Array(preamble.prefix(magic.count)))
      }
      throw .truncatedHeader(path: path, expected: 10, actual: preamble.count)
    }
    guard preamble.count >= 8 else {
      throw .truncatedHeader(path: path, expected: 10, actual: preamble.count)
    }
    let lengthBytes: Int
    switch (preamble[6], preamble[7]) {
    case (1, 0): lengthBytes = 2
    case (2, 0), (3, 0): lengthBytes = 4
    default: throw .unsupportedVersion(path: path, major: preamble[6], minor: preamble[7])
    }
    let offset = 8 + lengthBytes
    guard preamble.count >= offset else {
      throw .truncatedHeader(path: path, expected: offset, actual: preamble.count)
    }
    let length = preamble[8..<offset].reversed().reduce(0) { $0 << 8 | Int($1) }
    guard length <= maximumTextLength else {
      throw .headerTooLong(path: path, length: length, maximum: maximumTextLength)
    }
    let bytes = try NumPyError.wrapping(try file.bytes(at: offset, count: length))
    guard bytes.count == length else {
      throw .truncatedHeader(path: path, expected: offset + length, actual: offset + bytes.count)
    }
    return (bytes, offset)
  }

  private static func elementType(
    named descriptor: String, path: String
  ) throws(NumPyError) -> NumPyElementType {
    guard let known = NumPyDescriptor(descriptor) else {
      throw .unsupportedElementType(path: path, descriptor: descriptor)
    }
    guard !known.isBigEndian else { throw .bigEndian(path: path, descriptor: descriptor) }
    return known.elementType
  }

  /// The product of `shape`, or nil where a dimension is negative or the bytes overflow an `Int`.
  static func elementCount(of shape: [Int], byteCount: Int) -> Int? {
    var count = 1
    for dimension in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      guard !overflow, dimension >= 0 else { return nil }
      count = product
    }
    return count.multipliedReportingOverflow(by: byteCount).overflow ? nil : count
  }

  /// The header's bytes for an array, as version 1.0; the same bytes that NumPy writes.
  static func encode(
    _ elementType: NumPyElementType, shape: [Int], path: String
  ) throws(NumPyError) -> [UInt8] {
    let dimensions = shape.map(String.init).joined(separator: ", ")
    let tuple = shape.count == 1 ? "(\(dimensions),)" : "(\(dimensions))"
    var text = Array(
      "{'descr': '\(elementType.rawValue)', 'fortran_order': False, 'shape': \(tuple), }".utf8)
    // Room for the first dimension to grow in place, up to 21 digits.
    let growth = shape.first.map { 21 - String($0).utf8.count } ?? 0
    // NumPy pads by a whole 64 bytes where nothing is missing.
    let unpadded = magic.count + 4 + text.count + growth + 1
    let padding = dataAlignment - unpadded % dataAlignment
    text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: growth + padding))
    text.append(UInt8(ascii: "\n"))
    guard let length = UInt16(exactly: text.count) else {
      throw .headerTooLong(path: path, length: text.count, maximum: Int(UInt16.max))
    }
    return magic + [1, 0, UInt8(truncatingIfNeeded: length), UInt8(length >> 8)] + text
  }
}

extension NumPyHeader {
  /// The header of the same array whose elements begin its memory, row by row.
  var movedToFront: NumPyHeader {
    NumPyHeader(elementType: elementType, shape: shape, count: count)
  }

  /// The header of the array's bytes, where they begin at `offset` of their memory.
  func ofBytes(at offset: Int = 0) -> NumPyHeader {
    NumPyHeader(
      elementType: .uint8, shape: [dataByteCount], count: dataByteCount, dataOffset: offset)
  }

  private init(
    elementType: NumPyElementType, shape: [Int], count: Int, dataOffset: Int = 0
  ) {
    self.elementType = elementType
    self.shape = shape
    self.count = count
    self.dataOffset = dataOffset
    self.isTransposed = false
  }
}
