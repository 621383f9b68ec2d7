// Writing a GGUF file of version 3: the header first, then each tensor's bytes in any order, straight from
// the caller's memory. The file takes the target's place when it is whole and on the disk.

/// A tensor to be written.
public struct GGUFTensor: Hashable, Sendable {
  /// The tensor's name.
  public var name: String
  /// The type its elements are stored in.
  public var type: GGUFType
  /// The dimensions, outermost first.
  public var shape: [Int]

  /// A tensor's name, type and shape.
  public init(_ name: String, _ type: GGUFType, shape: [Int]) {
    self.name = name
    self.type = type
    self.shape = shape
  }

  /// The same tensor in another file.
  public init(_ entry: GGUFEntry) { self.init(entry.name, entry.type, shape: entry.shape) }
}

/// A GGUF file being written.
///
///     var writer = try GGUFWriter(path, tensors: [.init("token_embd.weight", .float32, shape: [v, d])])
///     try writer.write("token_embd.weight", table.span)
///     try writer.commit()
///
/// Until `commit()` the file at the path is as it was; dropped before, the writer leaves nothing behind.
/// The same tensors and keys give the same bytes, in the order that is given: those of PyPI's `gguf`.
public struct GGUFWriter: ~Copyable {
  private var file: OutputFile
  private let path: String
  private let tensors: [GGUFEntry]
  private let dataOffset: Int
  private var unwritten: Set<Int>

  /// Starts a file with these tensors.
  ///
  /// - Parameters:
  ///   - path: The file; its folder must exist. A link is followed to the file it names.
  ///   - metadata: Values by keys; `general.alignment` holds for this file.
  /// - Throws: `GGUFError`: `duplicateName`, `shape` for rows that are not of whole blocks,
  ///   `shapeOverflow`, `malformed` for an alignment that is none, and `file` where the system refuses.
  public init(
    _ path: String, tensors: [GGUFTensor], metadata: [GGUFMetadata] = []
  ) throws(GGUFError) {
    var keys = Set<[UInt8]>()
    for pair in metadata where !keys.insert(Array(pair.key.utf8)).inserted {
      throw .duplicateName(path: path, name: pair.key)
    }
    let said = metadata.first { $0.key == GGUFHeader.alignmentKey }?.value
    let alignment = try GGUFHeader.alignment(said, at: 0, path)
    let (entries, dataEnd) = try Self.layOut(tensors, alignment: alignment, path: path)
    var bytes = Array("GGUF".utf8) + UInt32(3).littleEndianBytes
    bytes += UInt64(tensors.count).littleEndianBytes + UInt64(metadata.count).littleEndianBytes
    for pair in metadata {
      bytes += pair.key.ggufBytes + pair.value.type.rawValue.littleEndianBytes + pair.value.bytes
    }
    for entry in entries {
      bytes += entry.name.ggufBytes + UInt32(entry.shape.count).littleEndianBytes
      for dimension in entry.shape.reversed() { bytes += UInt64(dimension).littleEndianBytes }
      bytes += entry.type.code.littleEndianBytes + UInt64(entry.start).littleEndianBytes
    }
    let dataOffset = (bytes.count + alignment - 1) & ~(alignment - 1)
    let (end, overflow) = dataOffset.addingReportingOverflow(dataEnd)
    guard !overflow else {
      throw .shapeOverflow(
        path: path, tensor: tensors.last?.name ?? "", shape: tensors.last?.shape ?? [])
    }
    let file = try GGUFError.wrapping(try OutputFile(replacing: path))
    try GGUFError.wrapping(try unsafe file.write(bytes.span.bytes, at: 0))
    // The end of the last padding makes the file as long as it will be.
    if end > bytes.count {
      try GGUFError.wrapping(try unsafe file.write([0 as UInt8].span.bytes, at: end - 1))
    }
    self.file = file
    self.path = path
    self.tensors = entries
    self.dataOffset = dataOffset
    unwritten = Set(entries.indices)
  }

  /// The entries with their places, each at a multiple of the alignment, and where the last padding ends.
  private static func layOut(
    _ tensors: [GGUFTensor], alignment: Int, path: String
  ) throws(GGUFError) -> (entries: [GGUFEntry], end: Int) {
    var names = Set<[UInt8]>()
    var entries: [GGUFEntry] = []
    var end = 0
    for tensor in tensors {
      guard names.insert(Array(tensor.name.utf8)).inserted else {
        throw .duplicateName(path: path, name: tensor.name)
      }
      let (count, bytes) = try GGUFHeader.size(
        of: tensor.shape, tensor.type, path: path, tensor: tensor.name)
      entries.append(
        GGUFEntry(
          name: tensor.name, type: tensor.type, shape: tensor.shape, count: count, start: end,
          byteCount: bytes))
      guard bytes <= Int.max - alignment - end else {
        throw .shapeOverflow(path: path, tensor: tensor.name, shape: tensor.shape)
      }
      end = (end + bytes + alignment - 1) & ~(alignment - 1)
    }
    return (entries, end)
  }

  /// Writes the elements of the tensor `name`.
  ///
  /// Allocates nothing.
  ///
  /// - Throws: `unexpectedTensor` for a name not announced or written already, `elementType`,
  ///   `byteCount`, `file`.
  public mutating func write<Element: FileElement>(
    _ name: String, _ elements: Span<Element>
  ) throws(GGUFError) {
    let entry = tensors[try index(of: name)]
    guard Element.ggufType == entry.type else {
      throw .elementType(
        path: path, tensor: name, expected: Element.ggufType?.name ?? "\(Element.numPyType)",
        found: entry.type.name)
    }
    try write(name, bytes: unsafe elements.bytes)
  }

  /// Writes the tensor `name` of any type from the bytes of its elements or blocks, in C order.
  ///
  /// Allocates nothing.
  ///
  /// - Throws: `unexpectedTensor` for a name not announced or written already, `byteCount`, `file`.
  public mutating func write(_ name: String, bytes: RawSpan) throws(GGUFError) {
    let index = try index(of: name)
    let entry = tensors[index]
    guard bytes.byteCount == entry.byteCount else {
      throw .byteCount(
        path: path, tensor: name, shape: entry.shape, expected: entry.byteCount,
        actual: bytes.byteCount)
    }
    try GGUFError.wrapping(try file.write(bytes, at: dataOffset + entry.start))
    unwritten.remove(index)
  }

  /// Forces the file to the disk and puts it in the target's place: whatever ends the process or the
  /// machine, the path names the old file whole or the new one.
  ///
  /// - Throws: `unwrittenTensors`, `file`. The target is then as it was, unless the folder alone could not
  ///   be forced to the disk.
  public consuming func commit() throws(GGUFError) {
    guard unwritten.isEmpty else {
      throw .unwrittenTensors(path: path, tensors: stillToWrite)
    }
    try GGUFError.wrapping(try file.commit(.durable))
  }

  private var stillToWrite: [String] { unwritten.sorted().map { tensors[$0].name } }

  private func index(of name: String) throws(GGUFError) -> Int {
    let index = tensors.firstIndex { $0.name.utf8.elementsEqual(name.utf8) }
    guard let index, unwritten.contains(index) else {
      throw .unexpectedTensor(path: path, tensor: name, expected: stillToWrite)
    }
    return index
  }
}
