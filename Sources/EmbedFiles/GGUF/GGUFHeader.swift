// What stands before the data in a GGUF file, every number little-endian:
//
//     "GGUF"  version (4 bytes)  tensors (8)  keys (8)
//     a key:     text, type of its value (4), value
//     a tensor:  text, dimensions (4), each of them (8; the innermost first), type (4), start (8)
//
// and a text is its number of bytes (8) and they. The data begin at the next multiple of the alignment,
// which the key `general.alignment` says, or 32. Source: ggml's description. The reading is total: any
// bytes give a header or a `GGUFError`.

/// A tensor's entry in the header.
public struct GGUFEntry: Hashable, Sendable {
  /// The tensor's name.
  public let name: String
  /// The type of its elements.
  public let type: GGUFType
  /// The dimensions, outermost first as everywhere here; empty for a single number. C order.
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

/// The header of a GGUF file: its tensors, none of which overlap, and values by keys.
public struct GGUFHeader: Equatable, Sendable {
  /// The version of the format: 2 or 3.
  public let version: Int
  /// Values by keys, in the order of the file.
  public let metadata: [GGUFMetadata]
  /// The tensors, in the order of the file.
  public let tensors: [GGUFEntry]
  /// What tensors begin at a multiple of.
  public let alignment: Int
  /// Bytes of the file before the data.
  public let dataOffset: Int

  /// The key that says the alignment.
  static let alignmentKey = "general.alignment"

  /// Reads the header of the file at `path`, and checks that every tensor lies in the file.
  ///
  /// Allocates the keys' values and the entries, not the data.
  ///
  /// - Throws: `GGUFError`, naming the path, the place and what is wrong there.
  public init(contentsOf path: String) throws(GGUFError) {
    var reader = GGUFReader(try GGUFError.wrapping(try InputFile(path)))
    try self.init(&reader)
  }

  /// The value of a key, compared byte by byte.
  public func value(of key: String) -> GGUFValue? {
    metadata.first { $0.key.utf8.elementsEqual(key.utf8) }?.value
  }

  /// The entry of the tensor `name`, compared byte by byte.
  public func entry(_ name: String) -> GGUFEntry? {
    tensors.first { $0.name.utf8.elementsEqual(name.utf8) }
  }

  /// The entry of a tensor that the file at `path` must have.
  ///
  /// - Throws: `missingTensor`, listing the names there are.
  package func entry(_ name: String, in path: String) throws(GGUFError) -> GGUFEntry {
    if let entry = entry(name) { return entry }
    throw .missingTensor(path: path, expected: [name], found: tensors.map(\.name))
  }
}

extension GGUFHeader {
  /// Reads a header from the start of a file.
  init(_ reader: inout GGUFReader) throws(GGUFError) {
    let path = reader.file.path
    let magic = try GGUFError.wrapping(try reader.file.bytes(at: 0, count: 4))
    guard magic == Array("GGUF".utf8) else { throw .notGGUF(path: path, found: magic) }
    _ = try reader.integer("its first bytes", as: UInt32.self)
    let version: UInt32 = try reader.integer("the version")
    guard version & 0xFFFF != 0 || version == 0 else { throw .bigEndian(path: path) }
    guard version == 2 || version == 3 else { throw .version(path: path, found: version) }
    self.version = Int(version)

    // What a tensor and a key take at least: empty names, no dimensions, a value of a byte.
    let tensorCount = try reader.count("the tensors", size: 24)
    let keyCount = try reader.count("the keys", size: 13)
    (metadata, alignment) = try Self.metadata(&reader, keyCount)
    let found = try Self.tensors(&reader, tensorCount)
    // Cannot overflow: an alignment has 32 bits.
    dataOffset = (reader.offset + alignment - 1) & ~(alignment - 1)
    tensors = try Self.checked(
      found, alignment: alignment, available: max(0, reader.file.byteCount - dataOffset), path)
  }

  /// Values by keys, and the alignment that they say.
  private static func metadata(
    _ reader: inout GGUFReader, _ count: Int
  ) throws(GGUFError) -> ([GGUFMetadata], alignment: Int) {
    let path = reader.file.path
    var all: [GGUFMetadata] = []
    var alignment = try alignment(nil, at: 0, path)
    var keys = Set<[UInt8]>()
    for i in 0..<count {
      let key = try reader.text("key \(i)")
      guard keys.insert(Array(key.utf8)).inserted else {
        throw .duplicateName(path: path, name: key)
      }
      let start = reader.offset
      let value = try reader.value(of: key)
      if key == alignmentKey { alignment = try Self.alignment(value, at: start, path) }
      all.append(GGUFMetadata(key, value))
    }
    return (all, alignment)
  }

  /// What a value of `general.alignment` says, and what holds where there is none.
  static func alignment(
    _ value: GGUFValue?, at offset: Int, _ path: String
  ) throws(GGUFError) -> Int {
    guard let value else { return 32 }
    guard case .uint32(let number) = value, number.nonzeroBitCount == 1 else {
      throw .malformed(
        path: path, offset: offset, what: "the value of \(alignmentKey.inQuotes)",
        expected: "a power of two as uint32", found: "\(value)")
    }
    return Int(number)
  }

  /// A tensor as the header has it.
  private struct Found {
    var name: String
    var type: GGUFType
    var shape: [Int]
    var start: UInt64
  }

  private static func tensors(
    _ reader: inout GGUFReader, _ count: Int
  ) throws(GGUFError) -> [Found] {
    let path = reader.file.path
    var all: [Found] = []
    var names = Set<[UInt8]>()
    for i in 0..<count {
      let name = try reader.text("the name of tensor \(i)")
      guard names.insert(Array(name.utf8)).inserted else {
        throw .duplicateName(path: path, name: name)
      }
      let what = "tensor \(name.inQuotes)"
      let rank: UInt32 = try reader.integer(what + ", its dimensions")
      guard Int(rank) <= reader.left / 8 else {
        throw .count(
          path: path, offset: reader.offset - 4, what: what + ", its dimensions",
          found: UInt64(rank), left: reader.left)
      }
      var shape: [Int] = []
      for _ in 0..<rank {
        let dimension: UInt64 = try reader.integer(what + ", a dimension")
        guard let size = Int(exactly: dimension) else {
          throw .malformed(
            path: path, offset: reader.offset - 8, what: what, expected: "a dimension of 63 bits",
            found: "\(dimension)")
        }
        shape.append(size)
      }
      let code: UInt32 = try reader.integer(what + ", its type")
      guard let type = GGUFType(code: code) else {
        throw .unknownType(path: path, offset: reader.offset - 4, tensor: name, code: code)
      }
      let start: UInt64 = try reader.integer(what + ", its start")
      all.append(Found(name: name, type: type, shape: shape.reversed(), start: start))
    }
    return all
  }

  /// The entries, each aligned, in the file and clear of the others.
  private static func checked(
    _ found: [Found], alignment: Int, available: Int, _ path: String
  ) throws(GGUFError) -> [GGUFEntry] {
    var entries: [GGUFEntry] = []
    entries.reserveCapacity(found.count)
    for tensor in found {
      let (count, bytes) = try size(of: tensor.shape, tensor.type, path: path, tensor: tensor.name)
      guard tensor.start.isMultiple(of: UInt64(alignment)) else {
        throw .misaligned(
          path: path, tensor: tensor.name, start: tensor.start, alignment: alignment)
      }
      guard bytes <= available, tensor.start <= UInt64(available - bytes) || bytes == 0,
        let start = Int(exactly: tensor.start)
      else {
        throw .outside(
          path: path, tensor: tensor.name, start: tensor.start, byteCount: bytes,
          available: available)
      }
      entries.append(
        GGUFEntry(
          name: tensor.name, type: tensor.type, shape: tensor.shape, count: count,
          start: bytes == 0 ? 0 : start, byteCount: bytes))
    }
    let ordered = entries.filter { $0.byteCount > 0 }.sorted { $0.start < $1.start }
    for (before, after) in zip(ordered, ordered.dropFirst()) where after.start < before.end {
      throw .overlap(
        path: path, tensor: after.name, start: after.start, other: before.name,
        otherEnd: before.end)
    }
    return entries
  }

  /// The elements of a shape and their bytes.
  static func size(
    of shape: [Int], _ type: GGUFType, path: String, tensor: String
  ) throws(GGUFError) -> (count: Int, bytes: Int) {
    // Without a sign: a dimension of zero may follow large ones.
    var product: UInt = 1
    for dimension in shape {
      let (next, overflow) = product.multipliedReportingOverflow(by: UInt(max(0, dimension)))
      guard !overflow, dimension >= 0 else {
        throw .shapeOverflow(path: path, tensor: tensor, shape: shape)
      }
      product = next
    }
    guard (shape.last ?? 1).isMultiple(of: type.blockCount) else {
      throw .shape(
        path: path, tensor: tensor,
        expected: "of rows of whole blocks of \(type.blockCount), as \(type.name) has them",
        found: shape)
    }
    let (bytes, overflow) = (product / UInt(type.blockCount)).multipliedReportingOverflow(
      by: UInt(type.blockByteCount))
    guard !overflow, let count = Int(exactly: product), let bytes = Int(exactly: bytes) else {
      throw .shapeOverflow(path: path, tensor: tensor, shape: shape)
    }
    return (count, bytes)
  }
}
