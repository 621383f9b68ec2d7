// An array that an option names: a `.npy` file, or a member of a `.npz` file. Floats and integers of
// every width are taken where each value stays what it is; anything else is refused by place.

internal import EmbedKernel

/// An array in a file: `FILE.npy`; or `FILE.npz:NAME`, where `FILE.npz` alone will do if it holds one
/// array.
struct ArrayFile {
  /// The file and the member, as errors call it.
  let path: String
  let shape: [Int]
  private let header: NumPyHeader
  /// The `.npz` file and the array's name in it.
  private let member: (file: String, name: String)?

  init(_ path: String) throws {
    self.path = path
    member = try Self.member(path)
    if let member {
      header = try NumPyArchive(contentsOf: member.file).header(of: member.name)
    } else {
      header = try NumPyHeader(contentsOf: path)
    }
    shape = header.shape
  }

  /// The array `name` of the `.npz` file at `file`.
  init(_ file: String, name: String) throws {
    (path, member) = ("\(file):\(name)", (file, name))
    header = try NumPyArchive(contentsOf: file).header(of: name)
    shape = header.shape
  }

  /// The type of the elements.
  var elementType: NumPyElementType { header.elementType }
  /// Elements in all.
  var count: Int { header.count }

  private static func member(_ path: String) throws -> (file: String, name: String)? {
    if path.hasSuffix(".npz") {
      let names = try NumPyArchive(contentsOf: path).names
      guard names.count == 1 else {
        let list = names.isEmpty ? "none" : names.prefix(20).joined(separator: ", ")
        throw CommandError.data(
          "'\(path)': which of its arrays? Write '\(path):NAME'; there are \(list)")
      }
      return (path, names[0])
    }
    guard let range = path.ranges(of: ".npz:").last else { return nil }
    return (path[..<range.lowerBound] + ".npz", String(path[range.upperBound...]))
  }

  /// Checks the number of dimensions.
  func require(rank: Int) throws(NumPyError) {
    guard shape.count == rank else { throw .rank(path: path, expected: rank, shape: shape) }
  }

  // MARK: Floats

  /// Reads float32 as it is, float16 and bfloat16 widened, which is exact.
  ///
  /// - Parameter floats: As many as `count`.
  func read(into floats: inout MutableSpan<Float>) throws {
    switch header.elementType {
    case .float32 where member == nil: try NumPyFile.read(path, into: &floats)
    case .float32: try copy(into: &floats) { (value: Float) in value }
    case .float16: try copy(into: &floats) { (value: Half) in value.float }
    case .bfloat16: try copy(into: &floats) { (value: BFloat16) in value.float }
    default: throw NumPyError.elementType(path: path, expected: .float32, found: elementType)
    }
  }

  /// The array as a table, where it is `[rows, dim]`.
  func table() throws -> EmbeddingTable {
    guard [.float32, .float16, .bfloat16].contains(elementType) else {
      throw NumPyError.elementType(path: path, expected: .float32, found: elementType)
    }
    try require(rank: 2)
    let table = try naming(path) { () throws(EmbedError) in
      try EmbeddingTable(rows: shape[0], dim: shape[1])
    }
    try table.withMutableSpan { span in try read(into: &span) }
    return table
  }

  /// The floats in memory of their own.
  func floats(rank: Int) throws -> AlignedBuffer<Float> {
    try require(rank: rank)
    var buffer = try naming(path) { () throws(EmbedError) in
      try AlignedBuffer<Float>(count: count)
    }
    var span = buffer.mutableSpan
    try read(into: &span)
    return buffer
  }

  // MARK: Integers

  /// Integers of any width: as 32-bit ones where their type fits in there, else as 64-bit ones.
  ///
  /// - Parameter truthAllowed: Whether truth values will do as well, as 0 and 1.
  func integers(truthAllowed: Bool = false) throws -> TokenBatch.IDs {
    switch elementType {
    case .int8: .narrow(try elements { (value: Int8) in Int32(value) })
    case .int16: .narrow(try elements { (value: Int16) in Int32(value) })
    case .int32: .narrow(try elements { (value: Int32) in value })
    case .int64: .wide(try elements { (value: Int64) in value })
    case .uint8: .narrow(try elements { (value: UInt8) in Int32(value) })
    case .uint16: .narrow(try elements { (value: UInt16) in Int32(value) })
    case .uint32: .wide(try elements { (value: UInt32) in Int64(value) })
    case .uint64: .wide(try signed())
    case .bool where truthAllowed:
      .narrow(try elements { (value: UInt8) in value == 0 ? 0 : 1 })
    case .bool, .float16, .bfloat16, .float32, .float64:
      throw CommandError.data(
        "'\(path)': expected elements of type \(truthAllowed ? "bool, uint8, " : "")int32 or int64 "
          + "(or other integers), found \(elementType)")
    }
  }

  private func signed() throws -> [Int64] {
    let values = try elements { (value: UInt64) in value }
    if let index = values.firstIndex(where: { $0 > UInt64(Int64.max) }) {
      throw CommandError.data(
        "'\(path)': element \(index) is \(values[index]), at \(place(index)), which is outside the "
          + "64-bit integers with a sign")
    }
    return values.map { Int64($0) }
  }

  /// Where an element stands, by its index in each dimension.
  func place(_ index: Int) -> [Int] {
    var rest = index
    var place: [Int] = []
    for size in shape.reversed() where size > 0 {
      place.insert(rest % size, at: 0)
      rest /= size
    }
    return place
  }

  // MARK: Elements

  private func array<Element: NumPyElement>() throws -> NumPyArray<Element> {
    if let member { return try NumPyArchive(contentsOf: member.file).array(member.name) }
    return try NumPyArray<Element>(contentsOf: path)
  }

  private func elements<Element: NumPyElement, Value>(
    _ convert: (Element) -> Value
  ) throws -> [Value] {
    let array: NumPyArray<Element> = try array()
    let span = array.span
    var values: [Value] = []
    values.reserveCapacity(span.count)
    for i in span.indices { values.append(convert(span[i])) }
    return values
  }

  private func copy<Element: NumPyElement>(
    into floats: inout MutableSpan<Float>, _ convert: (Element) -> Float
  ) throws {
    let array: NumPyArray<Element> = try array()
    let span = array.span
    guard span.count == floats.count else {
      throw NumPyError.elementCount(path: path, shape: shape, count: floats.count)
    }
    for i in span.indices { floats[i] = convert(span[i]) }
  }
}
