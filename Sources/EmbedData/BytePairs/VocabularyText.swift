// The text of a vocabulary's file, as every reader of one takes it: bounded in size, UTF-8 with or
// without a byte-order mark, lines that end as on any system.

/// A vocabulary's file, read whole.
struct VocabularyText {
  let path: String
  /// Without the byte-order mark.
  let bytes: ArraySlice<UInt8>

  /// Far more than any vocabulary: the most that a path which is none, such as a device, can take.
  private static let largestFile = 64 << 20

  /// Reads the file at `path`.
  ///
  /// - Throws: `malformedVocabulary` for a text in UTF-16; what reading throws.
  init(_ path: String) throws(DataError) {
    let file = try Self.bytes(path)
    self.path = path
    if file.starts(with: [0xEF, 0xBB, 0xBF]) {
      bytes = file.dropFirst(3)
    } else if file.starts(with: [0xFF, 0xFE]) || file.starts(with: [0xFE, 0xFF]) {
      throw .malformedVocabulary(
        path: path, line: 1, reason: "the text is UTF-16; a vocabulary is UTF-8")
    } else {
      bytes = file[...]
    }
  }

  private static func bytes(_ path: String) throws(DataError) -> [UInt8] {
    let file = try DataError.wrapping(try InputFile(path))
    guard file.byteCount <= largestFile else {
      throw .fileTooLarge(path: path, limit: largestFile)
    }
    return try DataError.wrapping(try file.bytes(at: 0, count: file.byteCount))
  }

  /// The lines, which end in a line feed, a carriage return, or both.
  var lines: [ArraySlice<UInt8>] {
    var lines: [ArraySlice<UInt8>] = []
    var start = bytes.startIndex
    var position = start
    while position < bytes.endIndex {
      let byte = bytes[position]
      position += 1
      guard byte == 0x0A || byte == 0x0D else { continue }
      lines.append(bytes[start..<position - 1])
      if byte == 0x0D, position < bytes.endIndex, bytes[position] == 0x0A { position += 1 }
      start = position
    }
    lines.append(bytes[start...])
    return lines
  }

  /// The parts of a line between spaces and tabs.
  static func fields(_ line: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
    line.split { $0 == 0x20 || $0 == 0x09 }
  }

  /// The first byte that is no space.
  var first: UInt8? { bytes.first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) } }
}
