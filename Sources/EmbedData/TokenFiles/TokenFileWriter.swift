// Writes a token file of any length in constant memory. The tokens go to a file beside the target,
// which takes the target's name only when all are written: a reader never sees half a file.

internal import CSystem

/// A token file being written. Without ``finish()`` the target stays as it was.
public final class TokenFileWriter {
  /// Where the tokens end up.
  public let path: String
  /// The element type.
  public let width: TokenWidth
  /// How many tokens were appended.
  public private(set) var count = 0

  private static let bufferedTokens = 1 << 16

  /// Beside the target until ``finish()``; a target that is no regular file, such as a pipe, can't be
  /// replaced and is written in place.
  private var file: OutputFile
  private var isFinished = false
  /// Tokens not yet written, little-endian, in the one that has the width.
  private var narrow: [UInt16] = []
  private var wide: [UInt32] = []

  /// Starts a file that will replace what is at `path`.
  ///
  /// - Throws: ``DataError/file(_:)`` when the folder can't be written to.
  public init(path: String, width: TokenWidth) throws(DataError) {
    self.path = path
    self.width = width
    file = try DataError.wrapping(try OutputFile(path))
    switch width {
    case .uint16: narrow.reserveCapacity(Self.bufferedTokens)
    case .uint32: wide.reserveCapacity(Self.bufferedTokens)
    }
  }

  /// Appends tokens. Allocates nothing.
  ///
  /// - Throws: ``DataError/tokenTooLarge(value:position:limit:)`` naming the position in the file,
  ///   before any of `ids` is written.
  public func append(_ ids: Span<Int32>) throws(DataError) {
    for i in ids.indices where ids[i] < 0 || Int64(ids[i]) > width.largestID {
      throw .tokenTooLarge(
        value: Int64(ids[i]), position: count + i, limit: width.largestID)
    }
    var start = 0
    while start < ids.count {
      if narrow.count + wide.count == Self.bufferedTokens { try flush() }
      let room = Self.bufferedTokens - narrow.count - wide.count
      let end = start + min(room, ids.count - start)
      switch width {
      case .uint16:
        for i in start..<end { narrow.append(UInt16(truncatingIfNeeded: ids[i]).littleEndian) }
      case .uint32:
        for i in start..<end { wide.append(UInt32(bitPattern: ids[i]).littleEndian) }
      }
      count += end - start
      start = end
    }
  }

  /// Writes what is buffered and puts the file in its place. Appending afterwards throws.
  public func finish() throws(DataError) {
    try flush()
    try DataError.wrapping(try file.commit())
    isFinished = true
  }

  private func flush() throws(DataError) {
    guard !isFinished else {
      throw .file(.system(operation: "write", path: path, code: EBADF))
    }
    try write(narrow)
    try write(wide)
    narrow.removeAll(keepingCapacity: true)
    wide.removeAll(keepingCapacity: true)
  }

  private func write(_ tokens: [some FixedWidthInteger & BitwiseCopyable]) throws(DataError) {
    let span = tokens.span
    do throws(FileError) { try unsafe file.write(span.bytes) } catch { throw .file(error) }
  }
}
