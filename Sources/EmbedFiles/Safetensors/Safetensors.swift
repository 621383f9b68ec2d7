// The tensors of a safetensors file in memory, mapped or copied, each as a span of its elements.

/// The tensors of a safetensors file.
///
/// The elements are aligned for their types and belong to this value. Mapped, nothing is copied
/// and opening takes as long as reading the header; a file whose tensors do not lie at multiples of
/// their elements' sizes is copied whatever was asked, each tensor to a multiple of 64 bytes.
@safe public struct Safetensors: ~Copyable, Sendable {
  /// The file the tensors came from.
  public let path: String

  /// The tensors' names, types and shapes, and the file's texts.
  public let header: SafetensorsHeader

  /// Whether the tensors are the file's own pages.
  public var isMapped: Bool { memory.isMapped }

  private let memory: TensorMemory

  /// Opens the file at `path`.
  ///
  /// Allocates address space alone with `.mapped`, the tensors' bytes with `.copied`.
  ///
  /// - Throws: `SafetensorsError`: a file that cannot be opened, is malformed, shorter or longer
  ///   than its header says, or whose tensors overlap or leave gaps.
  public init(contentsOf path: String, access: FileAccess = .mapped) throws(SafetensorsError) {
    let file = try SafetensorsError.wrapping(try InputFile(path))
    let header = try SafetensorsHeader(file)
    let places = header.tensors.map {
      TensorMemory.Place(
        start: header.dataOffset + $0.start, byteCount: $0.byteCount, alignment: $0.type.alignment)
    }
    let memory = try SafetensorsError.wrapping(try TensorMemory(file, places, access: access))
    self.path = path
    self.header = header
    self.memory = memory
  }

  /// The tensors' names, in the order of their bytes.
  public var names: [String] { header.tensors.map(\.name) }

  /// The elements of the tensor `name`, in C order; copies nothing.
  ///
  /// - Throws: `missingTensor`, listing the names there are, and `elementType`.
  @_lifetime(borrow self)
  public func elements<Element: FileElement>(
    of name: String, as type: Element.Type = Element.self
  ) throws(SafetensorsError) -> Span<Element> {
    let index = try index(of: name)
    let entry = header.tensors[index]
    guard Element.reads(entry.type) else {
      throw .elementType(
        path: path, tensor: name, expected: Element.safetensorsType.rawValue, found: entry.type)
    }
    let span = unsafe Span(
      _unsafeElements: memory.bytes(of: index).bindMemory(to: Element.self))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// The bytes of the tensor `name`, of whatever type; copies nothing.
  ///
  /// - Throws: `missingTensor`, listing the names there are.
  @_lifetime(borrow self)
  public func bytes(of name: String) throws(SafetensorsError) -> RawSpan {
    let index = try index(of: name)
    let span = unsafe RawSpan(_unsafeBytes: memory.bytes(of: index))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// The same, for as long as this value lives.
  @unsafe package func unsafeBytes(
    of name: String
  ) throws(SafetensorsError) -> UnsafeRawBufferPointer {
    unsafe memory.bytes(of: try index(of: name))
  }

  private func index(of name: String) throws(SafetensorsError) -> Int {
    try SafetensorsError.wrapping(try memory.check(path))
    let index = header.tensors.firstIndex { $0.name.utf8.elementsEqual(name.utf8) }
    guard let index else {
      throw .missingTensor(path: path, expected: [name], found: names)
    }
    return index
  }
}
