// NumPy's `.npz`: a ZIP archive of `.npy` files, stored or deflated. Only what NumPy writes is known:
// one disk, no encryption, methods 0 and 8, ZIP64 where sizes need it.
//
// Source: PKWARE's APPNOTE 6.3. The reading is total: any bytes give arrays or a `NumPyArchiveError`.

internal import CZlib

/// A `.npz` file that cannot be read or written.
public enum NumPyArchiveError: FileWrappingError, Equatable, Sendable {
  /// The file system refused.
  case file(FileError)

  /// The file has no directory of members at its end.
  case notAnArchive(path: String)

  /// A part of the archive is not what it should be, or outside the file.
  case malformed(path: String, offset: Int, expected: String)

  /// Two members have the same name.
  case duplicateName(path: String, name: String)

  /// A member is encrypted.
  case encrypted(path: String, member: String)

  /// A member is compressed in a way that is not known.
  case unsupportedMethod(path: String, member: String, method: Int)

  /// A member's bytes do not inflate to what the directory says, or differ from its check sum.
  case damagedMember(path: String, member: String)

  /// There is no array of the name.
  case missingArray(path: String, name: String, found: [String])

  /// A member is no `.npy` file, or not of the type and rank asked for.
  case array(NumPyError)
}

extension NumPyArchiveError: CustomStringConvertible {
  /// One line naming the path, the place, what was expected and what was found.
  public var description: String {
    switch self {
    case .file(let error): error.description
    case .notAnArchive(let path):
      "'\(path)' is not a .npz file: expected a ZIP directory at its end, found none"
    case .malformed(let path, let offset, let expected):
      "'\(path)': at offset \(offset), expected \(expected)"
    case .duplicateName(let path, let name): "'\(path)': the name '\(name)' is given twice"
    case .encrypted(let path, let member):
      "'\(path)': member '\(member)' is encrypted"
    case .unsupportedMethod(let path, let member, let method):
      "'\(path)': member '\(member)': expected compression method 0 or 8, found \(method)"
    case .damagedMember(let path, let member):
      "'\(path)': member '\(member)' is damaged: its bytes differ from the directory's check sum"
    case .missingArray(let path, let name, let found):
      "'\(path)': expected an array '\(name)', found \(found.joined(separator: ", "))"
    case .array(let error): error.description
    }
  }
}

/// The arrays of a `.npz` file, by name.
///
/// Opening reads the directory alone; each array is read, inflated and checked when asked for.
public struct NumPyArchive: ~Copyable {
  /// The file.
  public let path: String
  private let file: InputFile
  private let members: [ZipMember]

  /// Reads the directory of the file at `path`.
  ///
  /// - Throws: `NumPyArchiveError`.
  public init(contentsOf path: String) throws(NumPyArchiveError) {
    let file = try NumPyArchiveError.wrapping(try InputFile(path))
    let members = try ZipDirectory(file).members
    self.path = path
    self.file = file
    self.members = members
  }

  /// The arrays' names, in the order of the directory: members that end in `.npy`, without that.
  public var names: [String] {
    members.compactMap { $0.name.hasSuffix(".npy") ? String($0.name.dropLast(4)) : nil }
  }

  /// The header of the array `name`: its shape and element type.
  ///
  /// - Throws: As `array(_:as:rank:)`. Inflates the array where it is deflated.
  public func header(of name: String) throws(NumPyArchiveError) -> NumPyHeader {
    let source = try MemberBytes(file, try member(name))
    do throws(NumPyError) {
      return try NumPyHeader(source)
    } catch {
      throw .array(error)
    }
  }

  /// Reads the array `name` into memory of its own.
  ///
  /// - Throws: `NumPyArchiveError`: `missingArray`, listing the names there are, `duplicateName`,
  ///   `encrypted`, `unsupportedMethod`, `damagedMember`, and `array` for what is wrong with the
  ///   `.npy` bytes.
  public func array<Element: FileElement>(
    _ name: String, as type: Element.Type = Element.self, rank: Int? = nil
  ) throws(NumPyArchiveError) -> NumPyArray<Element> {
    let source = try MemberBytes(file, try member(name))
    do throws(NumPyError) {
      let header = try NumPyHeader(source)
      try header.require(Element.self, rank: rank, path: source.path)
      // A header without NumPy's padding leaves the elements unaligned: move them to the front.
      guard header.dataOffset.isMultiple(of: MemoryLayout<Element>.alignment),
        !header.isTransposed
      else {
        return NumPyArray(header.movedToFront, in: try source.moved(header))
      }
      return NumPyArray(header, in: source.takeMemory())
    } catch {
      throw .array(error)
    }
  }

  /// The bytes of the array `name`, in C order, whatever its element type.
  package func bytes(of name: String) throws(NumPyArchiveError) -> NumPyArray<UInt8> {
    let source = try MemberBytes(file, try member(name))
    do throws(NumPyError) {
      let header = try NumPyHeader(source)
      return NumPyArray(header.ofBytes(), in: try source.moved(header))
    } catch {
      throw .array(error)
    }
  }

  /// The member of the array `name`; also one that is called so itself, as NumPy finds it.
  private func member(_ name: String) throws(NumPyArchiveError) -> ZipMember {
    for title in ["\(name).npy", name] {
      let found = members.filter { $0.name.utf8.elementsEqual(title.utf8) }
      guard found.count < 2 else { throw .duplicateName(path: path, name: title) }
      if let member = found.first { return member }
    }
    throw .missingArray(path: path, name: name, found: names)
  }
}

/// A member's bytes, inflated.
private struct MemberBytes: ByteSource, ~Copyable {
  let path: String
  private let memory: MappedMemory

  var byteCount: Int { memory.byteCount }

  init(_ file: borrowing InputFile, _ member: ZipMember) throws(NumPyArchiveError) {
    let path = file.path
    guard !member.isEncrypted else { throw .encrypted(path: path, member: member.name) }
    let start = try ZipDirectory.dataOffset(of: member, in: file)
    guard member.method == 0 || member.method == 8 else {
      throw .unsupportedMethod(path: path, member: member.name, method: member.method)
    }
    // Deflate makes at most 1,032 bytes of one: what claims more is hostile, and is not allocated.
    guard
      member.method == 0
        ? member.size == member.compressedSize : member.size / 1_032 <= member.compressedSize
    else { throw .damagedMember(path: path, member: member.name) }
    let memory = try NumPyArchiveError.wrapping(
      try MappedMemory(byteCount: member.size, for: path))
    if member.method == 0 {
      let read = try NumPyArchiveError.wrapping(try unsafe file.read(into: memory.bytes, at: start))
      guard read == member.size else { throw .damagedMember(path: path, member: member.name) }
    } else {
      let packed = try NumPyArchiveError.wrapping(
        try MappedMemory(byteCount: member.compressedSize, for: path))
      let read = try NumPyArchiveError.wrapping(try unsafe file.read(into: packed.bytes, at: start))
      guard read == member.compressedSize,
        unsafe ZipChecks.inflate(UnsafeRawBufferPointer(packed.bytes), into: memory.bytes)
      else { throw .damagedMember(path: path, member: member.name) }
    }
    guard unsafe ZipChecks.checkSum(UnsafeRawBufferPointer(memory.bytes)) == member.checkSum else {
      throw .damagedMember(path: path, member: member.name)
    }
    self.path = "\(path)(\(member.name))"
    self.memory = memory
  }

  func bytes(at offset: Int, count: Int) throws(FileError) -> [UInt8] {
    let available = max(0, min(count, byteCount - offset))
    return unsafe Array(memory.bytes[min(offset, byteCount)..<min(offset, byteCount) + available])
  }

  consuming func takeMemory() -> MappedMemory { memory }

  /// The array's elements in memory of their own, row by row.
  func moved(_ header: NumPyHeader) throws(NumPyError) -> MappedMemory {
    let copy = try NumPyError.wrapping(
      try MappedMemory(byteCount: header.dataByteCount, for: path))
    let data = unsafe UnsafeRawBufferPointer(rebasing: memory.bytes[header.dataOffset...])
    if header.isTransposed {
      unsafe header.transpose(data, into: copy.bytes)
    } else {
      unsafe copy.bytes.copyMemory(from: data)
    }
    return copy
  }
}
