// The elements of a `.npy` file in memory, either copied from it or mapped.
//
// In C order: the last dimension is contiguous, and row i of a matrix starts at i * dim. A matrix
// that its file holds in Fortran order is transposed on the way.

/// An array read from a `.npy` file: a shape, and elements in C order.
///
/// The elements are aligned for their type, and to 64 bytes in files that NumPy 1.14 or later
/// or `NumPyFile` wrote, and in `.copied` arrays. They belong to this value and go with it.
@safe public struct NumPyArray<Element: FileElement>: ~Copyable, Sendable {
  /// The dimensions, outermost first; empty for a single number.
  public let shape: [Int]

  /// Elements in all, the product of `shape`.
  public let count: Int

  private let memory: MappedMemory
  private let dataOffset: Int

  /// Reads the array in the file at `path`.
  ///
  /// Allocates the array's bytes with `.copied`, address space alone with `.mapped`; an array in
  /// Fortran order (`NumPyHeader.isTransposed`) is copied whatever was asked.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - rank: The number of dimensions there must be; nil takes any.
  ///   - access: Whether the elements are copied or mapped.
  /// - Throws: `NumPyError`: a file that cannot be opened, is malformed, in Fortran order with more
  ///   than two dimensions above 1, big-endian, shorter or longer than its shape says, or of another
  ///   rank or element type.
  public init(
    contentsOf path: String, rank: Int? = nil, access: FileAccess = .copied
  ) throws(NumPyError) {
    let file = try NumPyError.wrapping(try InputFile(path))
    let header = try NumPyHeader(file)
    try header.require(Element.self, rank: rank, path: path)
    let isMapped =
      access != .copied && !header.isTransposed
      && header.dataOffset.isMultiple(of: MemoryLayout<Element>.alignment)
    self.init(
      isMapped ? header : header.movedToFront,
      in: try Self.load(file, header, isMapped ? access : .copied))
  }

  /// The array whose `.npy` bytes are in `memory`.
  init(_ header: NumPyHeader, in memory: consuming MappedMemory) {
    shape = header.shape
    count = header.count
    self.memory = memory
    dataOffset = header.dataOffset
  }

  /// The whole file mapped, or its data read.
  private static func load(
    _ file: borrowing InputFile, _ header: NumPyHeader, _ access: FileAccess
  ) throws(NumPyError) -> MappedMemory {
    if access != .copied {
      return try NumPyError.wrapping(
        try MappedMemory(
          file, byteCount: header.dataOffset + header.dataByteCount, access: access))
    }
    let memory = try NumPyError.wrapping(
      try MappedMemory(byteCount: header.dataByteCount, for: file.path))
    try unsafe file.readData(of: header, into: memory.bytes)
    return memory
  }

  /// The elements, in C order.
  ///
  /// The compiler of Swift 6.3.1 dies on the span of an array that comes out of a call that throws, as in
  /// `f(try NumPyArray(contentsOf: path).span)`: bind the array with `let`, or pass it itself to a call
  /// of this library, which takes any `ReadableElements`.
  public var span: Span<Element> {
    @_lifetime(borrow self) get {
      let span = unsafe Span(_unsafeElements: elements)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// Calls `body` with the elements in C order; the buffer must not outlive the call.
  public func withUnsafeBufferPointer<Result: ~Copyable, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try unsafe body(elements)
  }

  @unsafe private var elements: UnsafeBufferPointer<Element> {
    let data = unsafe UnsafeRawBufferPointer(memory.bytes).dropFirst(dataOffset)
    return unsafe UnsafeRawBufferPointer(rebasing: data).bindMemory(to: Element.self)
  }
}

extension NumPyArray<UInt8> {
  /// The bytes of the array in the file at `path`, in C order, whatever its element type.
  package init(bytesOf path: String, access: FileAccess = .copied) throws(NumPyError) {
    let file = try NumPyError.wrapping(try InputFile(path))
    let header = try NumPyHeader(file)
    let isMapped =
      access != .copied && !header.isTransposed
      && header.dataOffset.isMultiple(of: header.elementType.byteCount)
    self.init(
      header.ofBytes(at: isMapped ? header.dataOffset : 0),
      in: try Self.load(file, header, isMapped ? access : .copied))
  }
}

extension NumPyHeader {
  /// Checks that the file holds elements of the type and, where one is named, the rank.
  func require<Element: FileElement>(
    _ type: Element.Type, rank: Int?, path: String
  ) throws(NumPyError) {
    guard Element.reads(SafetensorsType(elementType)) else {
      throw .elementType(path: path, expected: Element.numPyType, found: elementType)
    }
    if let rank, rank != shape.count {
      throw .rank(path: path, expected: rank, shape: shape)
    }
  }
}

extension InputFile {
  /// Fills `bytes`, which must be as many as the header says, with the data after it, in C order.
  @unsafe func readData(
    of header: NumPyHeader, into bytes: UnsafeMutableRawBufferPointer
  ) throws(NumPyError) {
    guard !header.isTransposed else {
      return try unsafe header.readTransposed(self, into: bytes)
    }
    let count = try NumPyError.wrapping(try unsafe read(into: bytes, at: header.dataOffset))
    // The size was checked when the header was read, but the file may have shrunk since.
    guard count == header.dataByteCount else {
      throw .dataSize(
        path: path, shape: header.shape, expected: header.dataByteCount, actual: count)
    }
  }
}
