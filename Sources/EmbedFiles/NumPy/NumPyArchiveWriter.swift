// Writing a `.npz` file: members stored as they are, one after the other, then the directory.

internal import CZlib

/// A `.npz` file being written.
///
///     var writer = try NumPyArchiveWriter(path)
///     try writer.write("tokens", table.span, shape: [vocabulary, dim])
///     try writer.commit()
///
/// Until `commit()` the file at the path is as it was; dropped before, the writer leaves nothing
/// behind. The same arrays give the same bytes: members are dated 1980. Nothing is compressed.
public struct NumPyArchiveWriter: ~Copyable {
  private var file: OutputFile
  private let path: String
  private var offset = 0
  private var directory: [UInt8] = []
  private var names = Set<[UInt8]>()

  /// Starts a file.
  ///
  /// - Parameter path: The file; its folder must exist. A link is followed to the file it names.
  /// - Throws: `NumPyArchiveError.file`.
  public init(_ path: String) throws(NumPyArchiveError) {
    let file = try NumPyArchiveError.wrapping(try OutputFile(replacing: path))
    self.file = file
    self.path = path
  }

  /// Appends an array.
  ///
  /// Allocates the headers alone; the elements go from the caller's memory to the system.
  ///
  /// - Parameters:
  ///   - name: Its name, without `.npy`.
  ///   - elements: As many as the product of `shape`, in C order.
  ///   - shape: The dimensions, outermost first.
  /// - Throws: `NumPyArchiveError`: `duplicateName`, `malformed` for a name that is too long,
  ///   `array` where the shape does not hold the elements, `file`.
  public mutating func write<Element: FileElement>(
    _ name: String, _ elements: Span<Element>, shape: [Int]
  ) throws(NumPyArchiveError) {
    try write(name, bytes: unsafe elements.bytes, of: Element.numPyType, shape: shape)
  }

  /// The same from the elements' bytes.
  package mutating func write(
    _ name: String, bytes: RawSpan, of type: NumPyElementType, shape: [Int]
  ) throws(NumPyArchiveError) {
    let member = Array("\(name).npy".utf8)
    guard member.count <= Int(UInt16.max) else {
      throw .malformed(path: path, offset: offset, expected: "a name of at most 65,531 bytes")
    }
    guard !names.contains(member) else { throw .duplicateName(path: path, name: name) }
    let header: [UInt8]
    do throws(NumPyError) {
      header = try NumPyFile.header(for: bytes, of: type, shape: shape, path: path)
    } catch {
      throw .array(error)
    }
    var sum = unsafe header.withUnsafeBytes { unsafe ZipChecks.checkSum($0) }
    unsafe bytes.withUnsafeBytes { unsafe sum = ZipChecks.checkSum($0, from: sum) }
    let size = header.count + bytes.byteCount
    let start = offset

    // Sizes that 32 bits do not hold stand in an extra field of 64-bit ones.
    let sizeIsLarge = size >= 0xFFFF_FFFF
    let local =
      Record.fields((0x0403_4B50, 4)) + Self.common(sum, size, sizeIsLarge)
      + Record.fields((member.count, 2), (sizeIsLarge ? 20 : 0, 2)) + member
      + (sizeIsLarge ? Record.fields((1, 2), (16, 2), (size, 8), (size, 8)) : [])
    try unsafe append(local.span.bytes)
    try unsafe append(header.span.bytes)
    try append(bytes)

    let startIsLarge = start >= 0xFFFF_FFFF
    let large =
      (sizeIsLarge ? Record.fields((size, 8), (size, 8)) : [])
      + (startIsLarge ? Record.fields((start, 8)) : [])
    let extra = large.isEmpty ? [] : Record.fields((1, 2), (large.count, 2)) + large
    directory +=
      Record.fields((0x0201_4B50, 4), (45, 2)) + Self.common(sum, size, sizeIsLarge)
      + Record.fields(
        (member.count, 2), (extra.count, 2), (0, 2), (0, 2), (0, 2), (0, 4),
        (startIsLarge ? 0xFFFF_FFFF : start, 4)) + member + extra
    names.insert(member)
  }

  /// What a member's own header and its entry in the directory share: version 4.5, UTF-8 names,
  /// stored, 1980-01-01, check sum and sizes.
  private static func common(_ sum: UInt32, _ size: Int, _ isLarge: Bool) -> [UInt8] {
    let size = isLarge ? 0xFFFF_FFFF : size
    return Record.fields(
      (45, 2), (0x800, 2), (0, 2), (0, 2), (0x21, 2), (Int(sum), 4), (size, 4), (size, 4))
  }

  /// Writes the directory, forces the file to the disk and puts it in the target's place.
  ///
  /// - Throws: `NumPyArchiveError.file`. The target is then as it was, unless the folder alone could
  ///   not be forced to the disk.
  public consuming func commit() throws(NumPyArchiveError) {
    let (start, size, count) = (offset, directory.count, names.count)
    var end: [UInt8] = []
    if count >= 0xFFFF || start >= 0xFFFF_FFFF || size >= 0xFFFF_FFFF {
      end += Record.fields(
        (0x0606_4B50, 4), (44, 8), (45, 2), (45, 2), (0, 4), (0, 4), (count, 8), (count, 8),
        (size, 8), (start, 8))
      end += Record.fields((0x0706_4B50, 4), (0, 4), (start + size, 8), (1, 4))
    }
    end += Record.fields(
      (0x0605_4B50, 4), (0, 2), (0, 2), (min(count, 0xFFFF), 2), (min(count, 0xFFFF), 2),
      (min(size, 0xFFFF_FFFF), 4), (min(start, 0xFFFF_FFFF), 4), (0, 2))
    let tail = directory + end
    try unsafe append(tail.span.bytes)
    try NumPyArchiveError.wrapping(try file.commit(.durable))
  }

  private mutating func append(_ bytes: RawSpan) throws(NumPyArchiveError) {
    try NumPyArchiveError.wrapping(try file.write(bytes))
    offset += bytes.byteCount
  }
}

/// Little-endian records.
private enum Record {
  /// Each number in as many bytes as stand beside it.
  static func fields(_ fields: (value: Int, bytes: Int)...) -> [UInt8] {
    fields.flatMap { field in
      (0..<field.bytes).map { UInt8(truncatingIfNeeded: field.value >> (8 * $0)) }
    }
  }
}
