// Whole `.npy` files from and into memory that the caller owns.
//
// Elements go between the file and the caller's memory; only half precision is ever converted, where
// floats are asked for.
// Written are version 1.0 files, as NumPy itself writes for plain arrays.

/// Reading and writing of NumPy's `.npy` files on the caller's memory.
///
/// To read into memory that the library owns, see `NumPyArray`; for a file's shape and element
/// type alone, `NumPyHeader`.
public enum NumPyFile {
  /// Reads the elements of the file at `path` into `elements`, in C order.
  ///
  /// Allocates the header's text, and 4 MiB or 64 bytes a row for a matrix in Fortran order. Nothing
  /// is written before the header is found good and the sizes agree.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - rank: The number of dimensions there must be; nil takes any.
  ///   - elements: As many as the file holds.
  /// - Returns: The array's shape.
  /// - Throws: `NumPyError`, as `NumPyArray` does, and `elementCount` where the memory is of
  ///   another size than the array.
  @discardableResult
  public static func read<Element: FileElement>(
    _ path: String, rank: Int? = nil, into elements: inout MutableSpan<Element>
  ) throws(NumPyError) -> [Int] {
    let file = try NumPyError.wrapping(try InputFile(path))
    let header = try NumPyHeader(file)
    try header.require(Element.self, rank: rank, path: path)
    guard header.count == elements.count else {
      throw .elementCount(path: path, shape: header.shape, count: elements.count)
    }
    try unsafe elements.withUnsafeMutableBytes { (bytes) throws(NumPyError) in
      try unsafe file.readData(of: header, into: bytes)
    }
    return header.shape
  }

  /// Reads the floats of the file at `path` into `elements`, in C order: `float32` as they are,
  /// `float16` and `bfloat16` widened, which is exact.
  ///
  /// Allocates, for half precision, the file's bytes.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - rank: The number of dimensions there must be; nil takes any.
  ///   - elements: As many as the file holds.
  /// - Returns: The array's shape.
  /// - Throws: As `read(_:rank:into:)`.
  @discardableResult
  public static func read(
    _ path: String, rank: Int? = nil, widenedInto elements: inout MutableSpan<Float>
  ) throws(NumPyError) -> [Int] {
    switch try NumPyHeader(contentsOf: path).elementType {
    case .float16:
      let array = try NumPyArray<Half>(contentsOf: path, rank: rank)
      return try array.widen(into: &elements, path: path)
    case .bfloat16:
      let array = try NumPyArray<BFloat16>(contentsOf: path, rank: rank)
      return try array.widen(into: &elements, path: path)
    default: return try read(path, rank: rank, into: &elements)
    }
  }

  /// Writes `elements` to the file at `path` as an array of the given shape, in C order.
  ///
  /// The file appears whole or not at all: it is written beside `path` and then renamed over it. A
  /// path that is a link, a pipe or a device is written in place. Allocates the header alone; the
  /// elements go from the caller's memory to the system. The same elements give the same bytes.
  ///
  /// - Parameters:
  ///   - elements: As many as the product of `shape`.
  ///   - shape: The dimensions, outermost first; empty for a single number.
  ///   - path: The file; its folder must exist.
  /// - Throws: `NumPyError.elementCount` where the shape does not hold the elements,
  ///   `shapeOverflow`, `headerTooLong`, and `file` where the system refuses. The file at `path` is
  ///   then as it was.
  public static func write<Element: FileElement>(
    _ elements: Span<Element>, shape: [Int], to path: String
  ) throws(NumPyError) {
    try write(bytes: unsafe elements.bytes, of: Element.numPyType, shape: shape, to: path)
  }

  /// The same from the elements' bytes.
  package static func write(
    bytes: RawSpan, of type: NumPyElementType, shape: [Int], to path: String
  ) throws(NumPyError) {
    let header = try header(for: bytes, of: type, shape: shape, path: path)
    var file = try NumPyError.wrapping(try OutputFile(path))
    try NumPyError.wrapping(try unsafe file.write(header.span.bytes))
    try NumPyError.wrapping(try file.write(bytes))
    try NumPyError.wrapping(try file.commit())
  }

  /// The header of an array, where the shape holds the elements.
  static func header(
    for bytes: RawSpan, of type: NumPyElementType, shape: [Int], path: String
  ) throws(NumPyError) -> [UInt8] {
    let given = bytes.byteCount / type.byteCount
    guard !shape.contains(where: { $0 < 0 }) else {
      throw .elementCount(path: path, shape: shape, count: given)
    }
    guard let count = NumPyHeader.elementCount(of: shape, byteCount: type.byteCount) else {
      throw .shapeOverflow(path: path, shape: shape)
    }
    guard count == given else {
      throw .elementCount(path: path, shape: shape, count: given)
    }
    return try NumPyHeader.encode(type, shape: shape, path: path)
  }

  /// Writes the elements at a pointer; see `write(_:shape:to:)`.
  ///
  /// - Parameters:
  ///   - elements: As many as the product of `shape`, good for the call.
  ///   - shape: The dimensions, outermost first; empty for a single number.
  ///   - path: The file; its folder must exist.
  /// - Throws: `NumPyError`, as for a span.
  @unsafe public static func write<Element: FileElement>(
    _ elements: UnsafeBufferPointer<Element>, shape: [Int], to path: String
  ) throws(NumPyError) {
    try write(unsafe Span(_unsafeElements: elements), shape: shape, to: path)
  }
}

extension NumPyArray where Element: SixteenBitElement {
  /// Writes the elements as floats, which is exact; returns the shape.
  func widen(into floats: inout MutableSpan<Float>, path: String) throws(NumPyError) -> [Int] {
    guard count == floats.count else {
      throw .elementCount(path: path, shape: shape, count: floats.count)
    }
    let span = self.span
    for i in span.indices { floats[i] = span[i].float }
    return shape
  }
}
