// Writes a token file of any length in constant memory. The tokens go to a file beside the target,
// which takes the target's name only when all are written: a reader never sees half a file.

#if canImport(Darwin)
  internal import Darwin
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// A token file being written. Without ``finish()`` the target stays as it was.
public final class TokenFileWriter {
  /// Where the tokens end up.
  public let path: String
  /// The element type.
  public let width: TokenWidth
  /// How many tokens were appended.
  public private(set) var count = 0

  private static let bufferedTokens = 1 << 16

  /// Where they are written until ``finish()``; nil when the target is no regular file, such as a
  /// pipe, which can't be replaced.
  private let partial: String?
  private var file: FileDescriptor?
  /// Tokens not yet written, little-endian, in the one that has the width.
  private var narrow: [UInt16] = []
  private var wide: [UInt32] = []

  /// Starts a file that will replace what is at `path`.
  ///
  /// - Throws: ``DataError/system(operation:path:code:)`` when the folder can't be written to.
  public init(path: String, width: TokenWidth) throws(DataError) {
    self.path = path
    self.width = width
    partial = Self.isReplaceable(path) ? "\(path).partial-\(getpid())" : nil
    file = try FileDescriptor(writing: partial ?? path)
    switch width {
    case .uint16: narrow.reserveCapacity(Self.bufferedTokens)
    case .uint32: wide.reserveCapacity(Self.bufferedTokens)
    }
  }

  deinit {
    if file != nil, let partial { _ = unsafe unlink(partial) }
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
    file = nil
    guard let partial else { return }
    guard unsafe rename(partial, path) == 0 else {
      let code = errno
      _ = unsafe unlink(partial)
      throw .system(operation: "rename \(partial) to", path: path, code: code)
    }
  }

  private func flush() throws(DataError) {
    guard let file else { throw .system(operation: "write", path: path, code: EBADF) }
    try file.write(narrow)
    try file.write(wide)
    narrow.removeAll(keepingCapacity: true)
    wide.removeAll(keepingCapacity: true)
  }

  /// Whether `path` is a regular file or nothing yet.
  private static func isReplaceable(_ path: String) -> Bool {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return true }
    return status.st_mode & S_IFMT == S_IFREG
  }
}
