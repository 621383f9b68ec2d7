// Writing a safetensors file: the header first, from the tensors' names, types and shapes, then each
// tensor's elements in any order, straight from the caller's memory. The file takes the target's
// place when it is whole and on the disk.

/// A tensor to be written.
public struct SafetensorsTensor: Hashable, Sendable {
  /// The tensor's name.
  public var name: String
  /// The type its elements are stored in.
  public var type: SafetensorsType
  /// The dimensions, outermost first.
  public var shape: [Int]
  /// Its bytes, where the type does not tell them (`SafetensorsType.other`).
  public var byteCount: Int?

  /// A tensor's name, type and shape.
  public init(_ name: String, _ type: SafetensorsType, shape: [Int], byteCount: Int? = nil) {
    self.name = name
    self.type = type
    self.shape = shape
    self.byteCount = byteCount
  }

  /// The same tensor in another file.
  public init(_ entry: SafetensorsEntry) {
    self.init(entry.name, entry.type, shape: entry.shape, byteCount: entry.byteCount)
  }
}

/// A safetensors file being written.
///
///     var writer = try SafetensorsWriter(path, tensors: [.init("wte.weight", .float32, shape: [v, d])])
///     try writer.write("wte.weight", table.span)
///     try writer.commit()
///
/// Until `commit()` the file at the path is as it was; dropped before, the writer leaves nothing
/// behind. The same tensors and texts give the same bytes, in the order of the reference library:
/// falling alignment of the types, then names.
public struct SafetensorsWriter: ~Copyable {
  private var file: OutputFile
  private let path: String
  private let tensors: [SafetensorsEntry]
  private let dataOffset: Int
  private var unwritten: Set<Int>

  /// Starts a file with these tensors.
  ///
  /// - Parameters:
  ///   - path: The file; its folder must exist. A link is followed to the file it names.
  ///   - metadata: Texts for the header's `__metadata__`; written by rising keys.
  /// - Throws: `SafetensorsError`: `duplicateName` (`__metadata__` counts as taken),
  ///   `shapeOverflow`, `elementType` for a type of unknown size without its bytes, `headerTooLong`,
  ///   and `file` where the system refuses.
  public init(
    _ path: String, tensors: [SafetensorsTensor], metadata: [String: String] = [:]
  ) throws(SafetensorsError) {
    let (bytes, entries) = try Self.header(path, tensors: tensors, metadata: metadata)
    let file = try SafetensorsError.wrapping(try OutputFile(replacing: path))
    try SafetensorsError.wrapping(try unsafe file.write(bytes.span.bytes, at: 0))
    self.file = file
    self.path = path
    self.tensors = entries
    dataOffset = bytes.count
    unwritten = Set(entries.indices)
  }

  /// Writes the elements of the tensor `name`.
  ///
  /// Allocates nothing.
  ///
  /// - Throws: `unexpectedTensor` for a name not announced or written already, `elementType`,
  ///   `elementCount`, `file`.
  public mutating func write<Element: FileElement>(
    _ name: String, _ elements: Span<Element>
  ) throws(SafetensorsError) {
    let (index, entry) = try entry(name)
    guard Element.reads(entry.type) else {
      throw .elementType(
        path: path, tensor: name, expected: Element.safetensorsType.rawValue, found: entry.type)
    }
    try check(entry, count: elements.count)
    try SafetensorsError.wrapping(
      try unsafe file.write(elements.bytes, at: dataOffset + entry.start))
    unwritten.remove(index)
  }

  /// Writes the tensor `name` of any type from its elements' bytes, in C order.
  ///
  /// Allocates nothing.
  ///
  /// - Throws: `unexpectedTensor` for a name not announced or written already, `byteCount`, `file`.
  public mutating func write(_ name: String, bytes: RawSpan) throws(SafetensorsError) {
    let (index, entry) = try entry(name)
    guard bytes.byteCount == entry.byteCount else {
      throw .byteCount(
        path: path, tensor: name, shape: entry.shape, expected: entry.byteCount,
        actual: bytes.byteCount)
    }
    try SafetensorsError.wrapping(try file.write(bytes, at: dataOffset + entry.start))
    unwritten.remove(index)
  }

  /// Writes the tensor `name`, each element rounded to the tensor's type, to nearest even: `F32`,
  /// `F16` or `BF16`.
  ///
  /// Converts in blocks of 64 KiB.
  ///
  /// - Throws: As `write(_:_:)`.
  public mutating func write(_ name: String, rounding elements: Span<Float>)
    throws(SafetensorsError)
  {
    let (index, entry) = try entry(name)
    switch entry.type {
    case .float32: return try write(name, elements)
    case .float16:
      try check(entry, count: elements.count)
      try write(elements, at: entry, as: Half.self)
    case .bfloat16:
      try check(entry, count: elements.count)
      try write(elements, at: entry, as: BFloat16.self)
    default:
      throw .elementType(
        path: path, tensor: name, expected: "F32, F16 or BF16", found: entry.type)
    }
    unwritten.remove(index)
  }

  private func write<Element: SixteenBitElement>(
    _ elements: Span<Float>, at entry: SafetensorsEntry, as type: Element.Type
  ) throws(SafetensorsError) {
    let block = 1 << 15
    var rounded: [Element] = []
    rounded.reserveCapacity(min(block, elements.count))
    for start in stride(from: 0, to: elements.count, by: block) {
      rounded.removeAll(keepingCapacity: true)
      for i in start..<min(start + block, elements.count) { rounded.append(Element(elements[i])) }
      try SafetensorsError.wrapping(
        try unsafe file.write(rounded.span.bytes, at: dataOffset + entry.start + start * 2))
    }
  }

  /// Forces the file to the disk and puts it in the target's place: whatever ends the process or
  /// the machine, the path names the old file whole or the new one.
  ///
  /// - Throws: `unwrittenTensors`, `file`. The target is then as it was, unless the folder alone
  ///   could not be forced to the disk.
  public consuming func commit() throws(SafetensorsError) {
    guard unwritten.isEmpty else {
      throw .unwrittenTensors(path: path, tensors: stillToWrite)
    }
    try SafetensorsError.wrapping(try file.commit(.durable))
  }

  private var stillToWrite: [String] { unwritten.sorted().map { tensors[$0].name } }

  private func entry(_ name: String) throws(SafetensorsError) -> (Int, SafetensorsEntry) {
    let index = tensors.firstIndex { $0.name.utf8.elementsEqual(name.utf8) }
    guard let index, unwritten.contains(index) else {
      throw .unexpectedTensor(path: path, tensor: name, expected: stillToWrite)
    }
    return (index, tensors[index])
  }

  private func check(_ entry: SafetensorsEntry, count: Int) throws(SafetensorsError) {
    guard count == entry.count else {
      throw .elementCount(path: path, tensor: entry.name, shape: entry.shape, count: count)
    }
  }
}

extension SafetensorsWriter {
  /// What stands before the data of a file of these tensors, and their entries.
  package static func header(
    _ path: String, tensors: [SafetensorsTensor], metadata: [String: String]
  ) throws(SafetensorsError) -> (bytes: [UInt8], entries: [SafetensorsEntry]) {
    let entries = try layOut(tensors, path: path)
    var text = encode(entries, metadata: metadata)
    // Eight bytes of length and a multiple of eight of text keep every tensor aligned.
    text += [UInt8](repeating: UInt8(ascii: " "), count: -text.count & 7)
    guard text.count <= SafetensorsHeader.maximumLength else {
      throw .headerTooLong(
        path: path, length: UInt64(text.count), maximum: SafetensorsHeader.maximumLength)
    }
    let length = UInt64(text.count)
    let bytes = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + text
    return (bytes, entries)
  }

  /// The tensors in the order of the file, with their places.
  private static func layOut(
    _ tensors: [SafetensorsTensor], path: String
  ) throws(SafetensorsError) -> [SafetensorsEntry] {
    var names: Set<[UInt8]> = [Array("__metadata__".utf8)]
    var entries: [SafetensorsEntry] = []
    var start = 0
    let sorted = tensors.sorted { a, b in
      a.type.rank != b.type.rank
        ? a.type.rank > b.type.rank : a.name.utf8.lexicographicallyPrecedes(b.name.utf8)
    }
    for tensor in sorted {
      guard names.insert(Array(tensor.name.utf8)).inserted else {
        throw .duplicateName(path: path, name: tensor.name)
      }
      let (count, bytes) = try SafetensorsHeader.size(
        of: tensor.shape, tensor.type, path: path, tensor: tensor.name)
      guard let bytes = bytes ?? tensor.byteCount, bytes >= 0 else {
        throw .elementType(
          path: path, tensor: tensor.name, expected: "a known size, or how many bytes they are",
          found: tensor.type)
      }
      // Room for the header, so that no offset in the file overflows.
      guard bytes <= Int.max - SafetensorsHeader.maximumLength - 16 - start else {
        throw .shapeOverflow(path: path, tensor: tensor.name, shape: tensor.shape)
      }
      entries.append(
        SafetensorsEntry(
          name: tensor.name, type: tensor.type, shape: tensor.shape, count: count, start: start,
          byteCount: bytes))
      start += bytes
    }
    return entries
  }

  /// The header's JSON, without spaces, as the reference library writes it.
  private static func encode(_ entries: [SafetensorsEntry], metadata: [String: String]) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let texts = metadata.sorted { $0.key < $1.key }.map {
        "\($0.key.json):\($0.value.json)"
      }
      members.append("\"__metadata__\":{\(texts.joined(separator: ","))}")
    }
    for entry in entries {
      let shape = entry.shape.map(String.init).joined(separator: ",")
      members.append(
        "\(entry.name.json):{\"dtype\":\(entry.type.rawValue.json),\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(entry.start),\(entry.end)]}")
    }
    return Array("{\(members.joined(separator: ","))}".utf8)
  }
}
