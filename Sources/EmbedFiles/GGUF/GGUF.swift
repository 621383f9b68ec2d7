// The tensors of a GGUF file in memory, mapped or copied, each as the bytes of its elements or blocks.

/// The tensors of a GGUF file, which ggml's programs and their models use.
///
/// The elements are aligned for their types and belong to this value. Mapped, nothing is copied and
/// opening takes as long as reading the header; a file whose alignment is less than its elements need is
/// copied whatever was asked, each tensor to a multiple of 64 bytes.
@safe public struct GGUF: ~Copyable, Sendable {
  /// The file the tensors came from.
  public let path: String

  /// The tensors' names, types and shapes, and the values by keys.
  public let header: GGUFHeader

  private let memory: TensorMemory

  /// Opens the file at `path`.
  ///
  /// Allocates the header, and with `.copied` the tensors' bytes.
  ///
  /// - Throws: `GGUFError`: a file that cannot be opened, is malformed, big-endian or of another version,
  ///   or whose tensors overlap, are of an unknown type, or lie outside the file.
  public init(contentsOf path: String, access: FileAccess = .mapped) throws(GGUFError) {
    var reader = GGUFReader(try GGUFError.wrapping(try InputFile(path)))
    let header = try GGUFHeader(&reader)
    let places = header.tensors.map {
      TensorMemory.Place(
        start: $0.byteCount == 0 ? 0 : header.dataOffset + $0.start, byteCount: $0.byteCount,
        alignment: $0.type.alignment)
    }
    let memory = try GGUFError.wrapping(try TensorMemory(reader.file, places, access: access))
    self.path = path
    self.header = header
    self.memory = memory
  }

  /// Whether the tensors are the file's own pages.
  public var isMapped: Bool { memory.isMapped }

  /// The tensors' names, in the order of the file.
  public var names: [String] { header.tensors.map(\.name) }

  /// The elements of the tensor `name`, in C order; copies nothing.
  ///
  /// - Throws: `missingTensor`, listing the names there are, and `elementType`.
  @_lifetime(borrow self)
  public func elements<Element: FileElement>(
    of name: String, as type: Element.Type = Element.self
  ) throws(GGUFError) -> Span<Element> {
    let index = try index(of: name)
    let found = header.tensors[index].type
    guard Element.ggufType == found else {
      throw .elementType(
        path: path, tensor: name, expected: Element.ggufType?.name ?? "\(Element.numPyType)",
        found: found.name)
    }
    let span = unsafe Span(
      _unsafeElements: memory.bytes(of: index).bindMemory(to: Element.self))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// The bytes of the tensor `name`, of whatever type; copies nothing.
  ///
  /// - Throws: `missingTensor`, listing the names there are.
  @_lifetime(borrow self)
  public func bytes(of name: String) throws(GGUFError) -> RawSpan {
    let index = try index(of: name)
    let span = unsafe RawSpan(_unsafeBytes: memory.bytes(of: index))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// The same, for as long as this value lives.
  @unsafe package func unsafeBytes(
    of name: String
  ) throws(GGUFError) -> UnsafeRawBufferPointer {
    unsafe memory.bytes(of: try index(of: name))
  }

  private func index(of name: String) throws(GGUFError) -> Int {
    try GGUFError.wrapping(try memory.check(path))
    let index = header.tensors.firstIndex { $0.name.utf8.elementsEqual(name.utf8) }
    guard let index else { throw .missingTensor(path: path, expected: [name], found: names) }
    return index
  }
}
