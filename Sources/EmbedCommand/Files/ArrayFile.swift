// An array that an option names. Floats and integers of every width are taken where each value stays what
// it is; anything else is refused by place.

internal import EmbedKernel

/// An array in a file: `FILE.npy`; `FILE.npz:NAME`, where `FILE.npz` alone will do if it holds one
/// array; or `FILE.safetensors:NAME`, `FILE.gguf:NAME` and a sharded model's `INDEX.json:NAME`, alike.
struct ArrayFile {
  /// The file and the member, as errors call it.
  let path: String
  let shape: [Int]
  /// The type of the elements.
  let elementType: NumPyElementType
  /// Elements in all.
  let count: Int
  private let file: TensorFile

  /// How options call the files that they take.
  static let forms = "FILE.npy, or FILE:NAME of .npz, .safetensors, .gguf, .json"

  init(_ path: String) throws { try self.init(TensorFile(path, .single)) }

  /// The only array of a file.
  init(_ file: TensorFile) throws {
    let tensor = file.tensors[0]
    let path = file.path
    self.file = file
    self.path = path
    guard let type = tensor.type.numPyType else {
      throw SafetensorsError.elementType(
        path: path, tensor: tensor.name ?? "", expected: "floats of 16 or 32 bits, or integers",
        found: tensor.type)
    }
    (shape, elementType, count) = (tensor.shape, type, tensor.count)
  }

  /// Checks the number of dimensions.
  func require(rank: Int) throws(NumPyError) {
    guard shape.count == rank else { throw .rank(path: path, expected: rank, shape: shape) }
  }

  /// Checks the size of every dimension.
  ///
  /// - Parameters:
  ///   - expected: The shapes it may have; -1 stands for any size.
  ///   - reason: What has them too, for the error.
  func require(shapes expected: [[Int]], _ reason: String = "") throws(CommandError) {
    let fits = expected.contains { expected in
      expected.count == shape.count
        && zip(expected, shape).allSatisfy { $0 == -1 || $0 == $1 }
    }
    guard !fits else { return }
    let list = expected.map { "\($0)".replacing("-1", with: "any") }.joined(separator: " or ")
    throw .data("'\(path)': expected shape \(list)\(reason), found \(shape)")
  }

  /// Float32 as it is, float16 and bfloat16 widened, which is exact.
  func floats() throws -> [Float] {
    guard [.float32, .float16, .bfloat16].contains(elementType) else {
      throw NumPyError.elementType(path: path, expected: .float32, found: elementType)
    }
    return try file.withBytes(of: 0) { bytes in
      var floats = try naming(path) { () throws(EmbedError) in
        try SystemMemory.array(0 as Float, count: count)
      }
      var span = floats.mutableSpan
      try widen(bytes, file.tensors[0].type, into: &span)
      return floats
    }
  }

  /// Integers of any width, where each fits into `Value`.
  ///
  /// - Parameter truthAllowed: Whether truth values will do as well.
  func integers<Value: FixedWidthInteger>(truthAllowed: Bool = false) throws -> [Value] {
    switch elementType {
    case .int8: try integers(Int8.self)
    case .int16: try integers(Int16.self)
    case .int32: try integers(Int32.self)
    case .int64: try integers(Int64.self)
    case .uint8: try integers(UInt8.self)
    case .uint16: try integers(UInt16.self)
    case .uint32: try integers(UInt32.self)
    case .uint64: try integers(UInt64.self)
    case .bool where truthAllowed: try integers(UInt8.self)
    case .bool, .float16, .bfloat16, .float32, .float64:
      throw CommandError.data(
        "'\(path)': expected elements of type \(truthAllowed ? "bool, uint8, " : "")int32 or int64 "
          + "(or other integers), found \(elementType)")
    }
  }

  private func integers<Element: FixedWidthInteger & FileElement, Value: FixedWidthInteger>(
    _ type: Element.Type
  ) throws -> [Value] {
    try file.withBytes(of: 0) { bytes in
      var values = try SystemMemory.array(0 as Value, count: count)
      try unsafe bytes.withUnsafeBytes { bytes in
        let elements = unsafe bytes.bindMemory(to: Element.self)
        for i in values.indices {
          guard let value = unsafe Value(exactly: elements[i]) else {
            throw CommandError.data(
              "'\(path)': element \(i) is \(unsafe elements[i]), at \(place(i)), which is outside the "
                + "\(Value.bitWidth)-bit integers with a sign")
          }
          values[i] = value
        }
      }
      return values
    }
  }

  /// Where an element stands, by its index in each dimension.
  private func place(_ index: Int) -> [Int] {
    var rest = index
    var place: [Int] = []
    for size in shape.reversed() where size > 0 {
      place.insert(rest % size, at: 0)
      rest /= size
    }
    return place
  }

  /// Checks that the elements are of this type.
  func require<Element: FileElement>(_ type: Element.Type) throws(NumPyError) {
    guard elementType == Element.numPyType else {
      throw .elementType(path: path, expected: Element.numPyType, found: elementType)
    }
  }

  /// Copies the elements, of the file's own type, to memory for as many.
  @unsafe func copy<Element: FileElement>(
    into memory: UnsafeMutableBufferPointer<Element>
  ) throws {
    try require(Element.self)
    // Straight to where it goes: a table may take half of the memory that there is.
    if file.isNumPy {
      var elements = unsafe MutableSpan(_unsafeElements: memory)
      try NumPyFile.read(path, into: &elements)
      return
    }
    try file.withBytes(of: 0) { bytes in
      unsafe bytes.withUnsafeBytes {
        unsafe UnsafeMutableRawBufferPointer(memory).copyMemory(from: $0)
      }
    }
  }
}

extension Arguments {
  /// Writes an array to the file that the option names, if it does.
  func write<Element: FileElement>(
    _ elements: Span<Element>, shape: [Int], to option: Option<String?>
  ) throws {
    guard let path = try self[option] else { return }
    try NumPyFile.write(elements, shape: shape, to: path)
  }
}

/// The integers of a file whose shape is one of `shapes`, where -1 stands for any size.
func integers<Value: FixedWidthInteger>(
  _ path: String, shapes: [[Int]], truthAllowed: Bool = false
) throws -> [Value] {
  let file = try ArrayFile(path)
  try file.require(shapes: shapes)
  return try file.integers(truthAllowed: truthAllowed)
}
