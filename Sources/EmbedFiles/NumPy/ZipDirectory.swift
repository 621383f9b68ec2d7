// The directory at the end of a ZIP archive: where its members lie, their sizes and check sums.
// Everything is checked against the file's size before it is used.

internal import CZlib

/// A member as the directory lists it.
struct ZipMember {
  var name: String
  var method: Int
  var checkSum: UInt32
  var compressedSize: Int
  var size: Int
  /// Where its own header begins in the file.
  var offset: Int
  var isEncrypted: Bool
}

/// The directory of an archive.
struct ZipDirectory {
  private(set) var members: [ZipMember] = []

  init(_ file: borrowing InputFile) throws(NumPyArchiveError) {
    let path = file.path
    // The end record: 22 bytes and a comment of up to 65,535.
    let tailOffset = max(0, file.byteCount - (22 + 65_535))
    let tail = try NumPyArchiveError.wrapping(
      try file.bytes(at: tailOffset, count: file.byteCount - tailOffset))
    let end = stride(from: tail.count - 22, through: 0, by: -1).first { place in
      Fields.value(tail, place, 4) == 0x0605_4B50
        // The comment reaches to the end of the file, or this is a comment's own bytes.
        && place + 22 + Fields.value(tail, place + 20, 2) == tail.count
    }
    guard let end else { throw .notAnArchive(path: path) }
    var (count, size, offset) = (
      Fields.value(tail, end + 10, 2), Fields.value(tail, end + 12, 4),
      Fields.value(tail, end + 16, 4)
    )
    if count == 0xFFFF || size == 0xFFFF_FFFF || offset == 0xFFFF_FFFF {
      (count, size, offset) = try Self.readZIP64(file, endRecord: tailOffset + end)
    }
    guard offset >= 0, size >= 0, offset <= file.byteCount, size <= file.byteCount - offset else {
      throw .malformed(
        path: path, offset: tailOffset + end, expected: "a directory inside the file")
    }
    let bytes = try NumPyArchiveError.wrapping(try file.bytes(at: offset, count: size))
    try read(bytes, count: count, path: path, offset: offset)
  }

  /// The sizes of a large archive, from the record that the locator before the end record names.
  private static func readZIP64(
    _ file: borrowing InputFile, endRecord: Int
  ) throws(NumPyArchiveError) -> (Int, Int, Int) {
    let path = file.path
    let locatorOffset = endRecord - 20
    let locator =
      locatorOffset < 0
      ? [] : try NumPyArchiveError.wrapping(try file.bytes(at: locatorOffset, count: 20))
    guard locator.count == 20, Fields.value(locator, 0, 4) == 0x0706_4B50 else {
      throw .malformed(path: path, offset: max(0, locatorOffset), expected: "a ZIP64 locator")
    }
    let offset = Fields.value(locator, 8, 8)
    let record =
      offset < 0 || offset > file.byteCount
      ? [] : try NumPyArchiveError.wrapping(try file.bytes(at: offset, count: 56))
    guard record.count == 56, Fields.value(record, 0, 4) == 0x0606_4B50 else {
      throw .malformed(path: path, offset: locatorOffset + 8, expected: "a ZIP64 record's offset")
    }
    return (
      Fields.value(record, 32, 8), Fields.value(record, 40, 8), Fields.value(record, 48, 8)
    )
  }

  private mutating func read(
    _ bytes: [UInt8], count: Int, path: String, offset: Int
  ) throws(NumPyArchiveError) {
    var place = 0
    while place < bytes.count {
      guard bytes.count - place >= 46, Fields.value(bytes, place, 4) == 0x0201_4B50 else {
        throw .malformed(path: path, offset: offset + place, expected: "a directory entry")
      }
      let (nameLength, extraLength) = (
        Fields.value(bytes, place + 28, 2), Fields.value(bytes, place + 30, 2)
      )
      let extraStart = place + 46 + nameLength
      let next = extraStart + extraLength + Fields.value(bytes, place + 32, 2)
      guard next <= bytes.count else {
        throw .malformed(path: path, offset: offset + place, expected: "a whole directory entry")
      }
      // What is odd about one member must not keep the others from being read: names in another
      // encoding are repaired, and the rest is refused with the member.
      var member = ZipMember(
        name: String(decoding: bytes[place + 46..<extraStart], as: UTF8.self),
        method: Fields.value(bytes, place + 10, 2),
        checkSum: UInt32(Fields.value(bytes, place + 16, 4)),
        compressedSize: Fields.value(bytes, place + 20, 4),
        size: Fields.value(bytes, place + 24, 4), offset: Fields.value(bytes, place + 42, 4),
        isEncrypted: Fields.value(bytes, place + 8, 2) & 1 == 1)
      guard Fields.readZIP64(Array(bytes[extraStart..<extraStart + extraLength]), into: &member)
      else {
        throw .malformed(
          path: path, offset: offset + extraStart,
          expected: "an entry with its ZIP64 sizes where they are needed")
      }
      members.append(member)
      place = next
    }
    guard members.count == count else {
      throw .malformed(path: path, offset: offset, expected: "\(count) directory entries")
    }
  }

  /// Where a member's bytes begin, past its own header, whose lengths may differ from the directory's.
  static func dataOffset(
    of member: ZipMember, in file: borrowing InputFile
  ) throws(NumPyArchiveError) -> Int {
    let header =
      member.offset > file.byteCount
      ? [] : try NumPyArchiveError.wrapping(try file.bytes(at: member.offset, count: 30))
    guard header.count == 30, Fields.value(header, 0, 4) == 0x0403_4B50 else {
      throw .malformed(path: file.path, offset: member.offset, expected: "a member's header")
    }
    let start = member.offset + 30 + Fields.value(header, 26, 2) + Fields.value(header, 28, 2)
    guard start <= file.byteCount, member.compressedSize <= file.byteCount - start else {
      throw .malformed(
        path: file.path, offset: member.offset, expected: "a member that lies inside the file")
    }
    return start
  }
}

/// Little-endian numbers in records.
private enum Fields {
  /// The number of `count` bytes at `place`, which must be inside; negative past 2^63.
  static func value(_ bytes: [UInt8], _ place: Int, _ count: Int) -> Int {
    bytes[place..<place + count].reversed().reduce(0) { $0 << 8 | Int($1) }
  }

  /// Replaces fields that are all ones by those of the extra field of kind 1; false where they are
  /// missing or too large to be counted.
  static func readZIP64(_ extra: [UInt8], into member: inout ZipMember) -> Bool {
    let unknown = 0xFFFF_FFFF
    var fields: [WritableKeyPath<ZipMember, Int>] = []
    if member.size == unknown { fields.append(\.size) }
    if member.compressedSize == unknown { fields.append(\.compressedSize) }
    if member.offset == unknown { fields.append(\.offset) }
    guard !fields.isEmpty else { return true }
    var place = 0
    while extra.count - place >= 4 {
      let (kind, length) = (value(extra, place, 2), value(extra, place + 2, 2))
      let start = place + 4
      guard length <= extra.count - start else { return false }
      if kind == 1 {
        guard length >= 8 * fields.count else { return false }
        for (index, field) in fields.enumerated() {
          let number = value(extra, start + 8 * index, 8)
          guard number >= 0 else { return false }
          member[keyPath: field] = number
        }
        return true
      }
      place = start + length
    }
    return false
  }
}

/// zlib's part: check sums, and inflating of whole members.
package enum ZipChecks {
  /// zlib counts in 32 bits.
  private static let largestPart = 1 << 30

  /// The CRC-32 of `bytes`, continued from `start`.
  package static func checkSum(
    _ bytes: UnsafeRawBufferPointer, from start: UInt32 = 0
  ) -> UInt32 {
    var sum = UInt(start)
    var place = 0
    while place < bytes.count {
      let count = min(largestPart, bytes.count - place)
      let part = unsafe bytes.baseAddress.unsafelyUnwrapped + place
      unsafe sum = crc32(sum, part.assumingMemoryBound(to: UInt8.self), UInt32(count))
      place += count
    }
    return UInt32(truncatingIfNeeded: sum)
  }

  /// Inflates raw deflate data; false unless they fill `output` exactly and end there.
  static func inflate(
    _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) -> Bool {
    var stream = unsafe z_stream()
    // Negative window bits: no zlib header, as in ZIP.
    guard
      unsafe inflateInit2_(
        &stream, -MAX_WBITS, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK
    else { return false }
    defer { unsafe _ = inflateEnd(&stream) }
    // An empty member has no address, which zlib asks for.
    var (nowhere, read, written) = (UInt8(0), 0, 0)
    while true {
      let (inCount, outCount) = (
        min(largestPart, input.count - read), min(largestPart, output.count - written)
      )
      let status = unsafe withUnsafeMutablePointer(to: &nowhere) { nowhere in
        unsafe stream.next_in = input.baseAddress.map {
          unsafe UnsafeMutableRawPointer(mutating: $0 + read).assumingMemoryBound(to: UInt8.self)
        }
        unsafe stream.avail_in = UInt32(inCount)
        unsafe stream.next_out =
          output.baseAddress.map { unsafe ($0 + written).assumingMemoryBound(to: UInt8.self) }
          ?? nowhere
        unsafe stream.avail_out = UInt32(outCount)
        return unsafe CZlib.inflate(&stream, Z_NO_FLUSH)
      }
      unsafe read += inCount - Int(stream.avail_in)
      unsafe written += outCount - Int(stream.avail_out)
      if status == Z_STREAM_END { return written == output.count }
      // Without progress there is none to come.
      guard status == Z_OK,
        unsafe Int(stream.avail_in) < inCount || Int(stream.avail_out) < outCount
      else { return false }
    }
  }
}
