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
  public let isMapped: Bool

  private let memory: MappedMemory
  /// Where each tensor of `header.tensors` begins in `memory`.
  private let places: [Int]

  /// Opens the file at `path`.
  ///
  /// Allocates address space alone with `.mapped`, the tensors' bytes with `.copied`.
  ///
  /// - Throws: `SafetensorsError`: a file that cannot be opened, is malformed, shorter or longer
  ///   than its header says, or whose tensors overlap or leave gaps.
  public init(contentsOf path: String, access: FileAccess = .mapped) throws(SafetensorsError) {
    let file = try SafetensorsError.wrapping(try InputFile(path))
    let header = try SafetensorsHeader(file)
    let isAligned = header.tensors.allSatisfy {
      $0.byteCount == 0 || (header.dataOffset + $0.start).isMultiple(of: $0.type.alignment)
    }
    let isMapped = access == .mapped && isAligned
    let places =
      isMapped ? header.tensors.map { header.dataOffset + $0.start } : Self.places(of: header)
    let memory = try Self.load(file, header, isMapped: isMapped, places)
    self.path = path
    self.header = header
    self.isMapped = isMapped
    self.memory = memory
    self.places = places
  }

  /// Where copied tensors go: each to a multiple of 64 bytes.
  private static func places(of header: SafetensorsHeader) -> [Int] {
    var places: [Int] = []
    var end = 0
    for tensor in header.tensors {
      // Cannot overflow: at most 64 bytes a tensor more than the file has.
      places.append((end + 63) & ~63)
      end = places[places.count - 1] + tensor.byteCount
    }
    return places
  }

  /// The whole file mapped, or each tensor read to its place.
  private static func load(
    _ file: borrowing InputFile, _ header: SafetensorsHeader, isMapped: Bool, _ places: [Int]
  ) throws(SafetensorsError) -> MappedMemory {
    if isMapped {
      return try SafetensorsError.wrapping(
        try MappedMemory(file, byteCount: header.dataOffset + header.dataByteCount))
    }
    let end = (places.last ?? 0) + (header.tensors.last?.byteCount ?? 0)
    let memory = try SafetensorsError.wrapping(try MappedMemory(byteCount: end, for: file.path))
    for (tensor, place) in zip(header.tensors, places) where tensor.byteCount > 0 {
      let bytes = unsafe UnsafeMutableRawBufferPointer(
        rebasing: memory.bytes[place..<place + tensor.byteCount])
      let read = try SafetensorsError.wrapping(
        try unsafe file.read(into: bytes, at: header.dataOffset + tensor.start))
      // The size was checked with the header, but the file may have shrunk since.
      guard read == tensor.byteCount else {
        throw .dataSize(
          path: file.path, expected: header.dataByteCount, actual: tensor.start + read)
      }
    }
    return memory
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
      _unsafeElements: bytes(of: index).bindMemory(to: Element.self))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// The bytes of the tensor `name`, of whatever type; copies nothing.
  ///
  /// - Throws: `missingTensor`, listing the names there are.
  @_lifetime(borrow self)
  public func bytes(of name: String) throws(SafetensorsError) -> RawSpan {
    let index = try index(of: name)
    let span = unsafe RawSpan(_unsafeBytes: bytes(of: index))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  private func index(of name: String) throws(SafetensorsError) -> Int {
    let index = header.tensors.firstIndex { $0.name.utf8.elementsEqual(name.utf8) }
    guard let index else {
      throw .missingTensor(path: path, expected: [name], found: names)
    }
    return index
  }

  @unsafe private func bytes(of index: Int) -> UnsafeRawBufferPointer {
    let place = places[index]
    let end = place + header.tensors[index].byteCount
    return unsafe UnsafeRawBufferPointer(rebasing: memory.bytes[place..<end])
  }
}
