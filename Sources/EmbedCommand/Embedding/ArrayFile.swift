// An array that an option names: a `.npy` file, or a member of a `.npz` file. Floats and integers of
// every width are taken where each value stays what it is; anything else is refused by place.

internal import EmbedKernel

/// An array in a file: `FILE.npy`; `FILE.npz:NAME`, where `FILE.npz` alone will do if it holds one
/// array; or `FILE.safetensors:NAME`, alike.
struct ArrayFile {
  /// The file and the member, as errors call it.
  let path: String
  let shape: [Int]
  /// The type of the elements.
  let elementType: NumPyElementType
  /// Elements in all.
  let count: Int
  private let source: Source

  /// Where the elements are: the file, and the array's name in it.
  private enum Source {
    case npy
    case npz(file: String, name: String)
    case safetensors(file: String, name: String)
  }

  /// The array's name in its file; nil for a `.npy` file.
  var name: String? {
    switch source {
    case .npy: nil
    case .npz(_, let name), .safetensors(_, let name): name
    }
  }

  /// How options call the files that they take.
  static let forms = "FILE.npy, FILE.npz:NAME or FILE.safetensors:NAME"

  init(_ path: String) throws {
    if let (file, name) = try Self.member(path, of: ".safetensors", { try Self.tensors($0) }) {
      let header = try SafetensorsHeader(contentsOf: file)
      guard let entry = header.entry(name) else {
        throw SafetensorsError.missingTensor(
          path: file, expected: [name], found: header.tensors.map(\.name))
      }
      guard let type = entry.type.numPyType else {
        throw SafetensorsError.elementType(
          path: file, tensor: name, expected: "floats of 16 or 32 bits, or integers",
          found: entry.type)
      }
      self.init(
        path: path, shape: entry.shape, elementType: type, count: entry.count,
        source: .safetensors(file: file, name: name))
    } else if let (file, name) = try Self.member(
      path, of: ".npz", { try NumPyArchive(contentsOf: $0).names })
    {
      try self.init(file, name: name)
    } else {
      self.init(path, .npy, try NumPyHeader(contentsOf: path))
    }
  }

  /// The array `name` of the `.npz` file at `file`.
  init(_ file: String, name: String) throws {
    self.init(
      "\(file):\(name)", .npz(file: file, name: name),
      try NumPyArchive(contentsOf: file).header(of: name))
  }

  private init(_ path: String, _ source: Source, _ header: NumPyHeader) {
    self.init(
      path: path, shape: header.shape, elementType: header.elementType, count: header.count,
      source: source)
  }

  private init(
    path: String, shape: [Int], elementType: NumPyElementType, count: Int, source: Source
  ) {
    self.path = path
    self.shape = shape
    self.elementType = elementType
    self.count = count
    self.source = source
  }

  private static func tensors(_ file: String) throws -> [String] {
    try SafetensorsHeader(contentsOf: file).tensors.map(\.name)
  }

  /// The file and the name in `path`, where it is of that kind.
  private static func member(
    _ path: String, of kind: String, _ names: (String) throws -> [String]
  ) throws -> (file: String, name: String)? {
    if path.hasSuffix(kind) {
      let names = try names(path)
      guard names.count == 1 else {
        let list = names.isEmpty ? "none" : names.prefix(20).joined(separator: ", ")
        throw CommandError.data(
          "'\(path)': which of its arrays? Write '\(path):NAME'; there are \(list)")
      }
      return (path, names[0])
    }
    guard let range = path.ranges(of: kind + ":").first else { return nil }
    return (path[..<range.lowerBound] + kind, String(path[range.upperBound...]))
  }

  /// Checks the number of dimensions.
  func require(rank: Int) throws(NumPyError) {
    guard shape.count == rank else { throw .rank(path: path, expected: rank, shape: shape) }
  }

  /// Checks the size of every dimension.
  func require(shape expected: [Int]) throws(CommandError) {
    guard shape == expected else {
      throw .data("'\(path)': expected shape \(expected), found \(shape)")
    }
  }

  // MARK: Floats

  /// Reads float32 as it is, float16 and bfloat16 widened, which is exact.
  ///
  /// - Parameter floats: As many as `count`.
  func read(into floats: inout MutableSpan<Float>) throws {
    switch elementType {
    case .float32: try copy(into: &floats) { (value: Float) in value }
    case .float16: try copy(into: &floats) { (value: Half) in value.float }
    case .bfloat16: try copy(into: &floats) { (value: BFloat16) in value.float }
    default: throw NumPyError.elementType(path: path, expected: .float32, found: elementType)
    }
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

  /// Reads elements of the file's own type.
  ///
  /// - Parameter elements: As many as `count`.
  func read<Element: NumPyElement>(typed elements: inout MutableSpan<Element>) throws {
    if case .npy = source {
      try NumPyFile.read(path, into: &elements)
    } else {
      try copy(into: &elements) { (value: Element) in value }
    }
  }

  /// Gives `body` the elements' bytes, in C order.
  func withBytes(_ body: (RawSpan) throws -> Void) throws {
    func give<Element: NumPyElement>(_ type: Element.Type) throws {
      try withElements { (span: Span<Element>) in try body(unsafe span.bytes) }
    }
    try give(elementType.element)
  }

  private func withElements<Element: NumPyElement, Result>(
    _ body: (Span<Element>) throws -> Result
  ) throws -> Result {
    switch source {
    case .npy:
      let array = try NumPyArray<Element>(contentsOf: path)
      return try body(array.span)
    case .npz(let file, let name):
      let array: NumPyArray<Element> = try NumPyArchive(contentsOf: file).array(name)
      return try body(array.span)
    case .safetensors(let file, let name):
      guard Element.numPyType == elementType || Element.self == UInt8.self && elementType == .bool
      else {
        throw NumPyError.elementType(path: path, expected: Element.numPyType, found: elementType)
      }
      let tensors = try Safetensors(contentsOf: file)
      let bytes = try tensors.bytes(of: name)
      return try unsafe bytes.withUnsafeBytes { bytes in
        try body(unsafe Span(_unsafeElements: bytes.bindMemory(to: Element.self)))
      }
    }
  }

  private func elements<Element: NumPyElement, Value>(
    _ convert: (Element) -> Value
  ) throws -> [Value] {
    try withElements { (span: Span<Element>) in
      var values: [Value] = []
      values.reserveCapacity(span.count)
      for i in span.indices { values.append(convert(span[i])) }
      return values
    }
  }

  private func copy<Element: NumPyElement, Value>(
    into target: inout MutableSpan<Value>, _ convert: (Element) -> Value
  ) throws {
    let count = target.count
    let memory = unsafe target.withUnsafeMutableBufferPointer { unsafe $0 }
    try withElements { (span: Span<Element>) in
      guard span.count == count else {
        throw NumPyError.elementCount(path: path, shape: shape, count: count)
      }
      for i in span.indices { unsafe memory[i] = convert(span[i]) }
    }
  }
}
