// What stands before the data in a safetensors file:
//
//     length (8 bytes, little-endian)  {"name": {"dtype": ..., "shape": ..., "data_offsets": ...}}
//
// Source: the format's description in the safetensors repository. The reading is total: any bytes
// give a header or a `SafetensorsError`.

/// A tensor's entry in the header.
public struct SafetensorsEntry: Hashable, Sendable {
  /// The tensor's name.
  public let name: String
  /// The type of its elements.
  public let type: SafetensorsType
  /// The dimensions, outermost first; empty for a single number. C order.
  public let shape: [Int]
  /// Elements in all, the product of `shape`.
  public let count: Int
  /// Where its bytes begin after the header.
  public let start: Int
  /// Bytes of its elements.
  public let byteCount: Int

  /// Where its bytes end after the header.
  public var end: Int { start + byteCount }
}

/// The header of a safetensors file: its tensors in the order of their bytes, without gap or
/// overlap, and texts about them.
public struct SafetensorsHeader: Equatable, Sendable {
  /// The tensors in the order of their bytes.
  public let tensors: [SafetensorsEntry]

  /// Texts by key: the header's `__metadata__`.
  public let metadata: [String: String]

  /// Bytes of the file before the first tensor.
  public let dataOffset: Int

  /// Bytes of data after the header.
  public var dataByteCount: Int { tensors.last?.end ?? 0 }

  /// The longest header that the reference library reads.
  public static let maximumLength = 100_000_000

  /// Reads the header of the file at `path`, and checks that it accounts for every byte.
  ///
  /// Allocates the header's text and entries, not the data.
  ///
  /// - Throws: `SafetensorsError`, naming the path, the tensor and what is wrong there.
  public init(contentsOf path: String) throws(SafetensorsError) {
    let file = try SafetensorsError.wrapping(try InputFile(path))
    try self.init(file)
  }

  /// The entry of the tensor `name`, compared byte by byte.
  public func entry(_ name: String) -> SafetensorsEntry? {
    tensors.first { $0.name.utf8.elementsEqual(name.utf8) }
  }

  /// The entry of a tensor that the file at `path` must have.
  ///
  /// - Throws: `missingTensor`, listing the names there are.
  package func entry(
    _ name: String, in path: String
  ) throws(SafetensorsError) -> SafetensorsEntry {
    if let entry = entry(name) { return entry }
    throw .missingTensor(path: path, expected: [name], found: tensors.map(\.name))
  }
}

extension SafetensorsHeader {
  /// Reads the header of `file`.
  package init(_ file: borrowing InputFile) throws(SafetensorsError) {
    let path = file.path
    let lengthBytes = try SafetensorsError.wrapping(try file.bytes(at: 0, count: 8))
    guard lengthBytes.count == 8 else {
      throw .truncatedHeader(path: path, expected: 8, actual: lengthBytes.count)
    }
    let length = lengthBytes.reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    guard length <= UInt64(Self.maximumLength) else {
      throw .headerTooLong(path: path, length: length, maximum: Self.maximumLength)
    }
    let dataOffset = 8 + Int(length)
    guard dataOffset <= file.byteCount else {
      throw .truncatedHeader(path: path, expected: dataOffset, actual: file.byteCount)
    }
    let text = try SafetensorsError.wrapping(try file.bytes(at: 8, count: Int(length)))
    // The file may have shrunk since its size was asked for.
    guard text.count == Int(length) else {
      throw .truncatedHeader(path: path, expected: dataOffset, actual: 8 + text.count)
    }
    let parser = try SafetensorsHeaderParser(path: path, text: text, offset: 8)
    tensors = try Self.checked(parser.entries, path: path)
    metadata = parser.metadata
    self.dataOffset = dataOffset
    let actual = file.byteCount - dataOffset
    guard actual == dataByteCount else {
      throw .dataSize(path: path, expected: dataByteCount, actual: actual)
    }
  }

  /// The entries in the order of their bytes, each beginning where the one before it ends.
  private static func checked(
    _ entries: [SafetensorsHeaderParser.Entry], path: String
  ) throws(SafetensorsError) -> [SafetensorsEntry] {
    var tensors: [SafetensorsEntry] = []
    tensors.reserveCapacity(entries.count)
    var previousEnd = 0
    for entry in entries.sorted(by: { ($0.start, $0.end) < ($1.start, $1.end) }) {
      guard entry.start <= entry.end else {
        throw .fallingOffsets(path: path, tensor: entry.name, start: entry.start, end: entry.end)
      }
      let (count, expected) = try size(of: entry.shape, entry.type, path: path, tensor: entry.name)
      // Of a type that is not known, the offsets alone tell.
      let byteCount = entry.end - entry.start
      guard expected == nil || byteCount == expected else {
        throw .byteCount(
          path: path, tensor: entry.name, shape: entry.shape, expected: expected ?? 0,
          actual: byteCount)
      }
      guard entry.start >= previousEnd else {
        throw .overlap(
          path: path, tensor: entry.name, start: entry.start, previousEnd: previousEnd)
      }
      guard entry.start == previousEnd else {
        throw .hole(path: path, tensor: entry.name, start: entry.start, previousEnd: previousEnd)
      }
      previousEnd = entry.end
      tensors.append(
        SafetensorsEntry(
          name: entry.name, type: entry.type, shape: entry.shape, count: count, start: entry.start,
          byteCount: byteCount))
    }
    return tensors
  }

  /// The elements of a shape, and their bytes where the type is known.
  static func size(
    of shape: [Int], _ type: SafetensorsType, path: String, tensor: String
  ) throws(SafetensorsError) -> (count: Int, bytes: Int?) {
    // Without a sign, as the reference library counts: a dimension of zero may follow large ones.
    var product: UInt = 1
    for dimension in shape {
      let (next, overflow) = product.multipliedReportingOverflow(by: UInt(max(0, dimension)))
      guard !overflow, dimension >= 0 else {
        throw .shapeOverflow(path: path, tensor: tensor, shape: shape)
      }
      product = next
    }
    guard let count = Int(exactly: product) else {
      throw .shapeOverflow(path: path, tensor: tensor, shape: shape)
    }
    guard let bits = type.bitCount else { return (count, nil) }
    guard let bytes = type.byteCount(of: count) else {
      guard bits < 8 else { throw .shapeOverflow(path: path, tensor: tensor, shape: shape) }
      throw .shape(
        path: path, tensor: tensor, expected: "of elements of \(bits) bits that fill whole bytes",
        found: shape)
    }
    return (count, bytes)
  }
}
