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

  private static let bufferedBytes = 1 << 18

  /// Where they are written until ``finish()``; nil when the target is no regular file, such as a
  /// pipe, which can't be replaced.
  private let partial: String?
  private var file: FileDescriptor?
  private var buffer: [UInt8] = []

  /// Starts a file that will replace what is at `path`.
  ///
  /// - Throws: ``DataError/system(operation:path:code:)`` when the folder can't be written to.
  public init(path: String, width: TokenWidth) throws(DataError) {
    self.path = path
    self.width = width
    partial = Self.isReplaceable(path) ? "\(path).partial-\(getpid())" : nil
    file = try FileDescriptor(writing: partial ?? path)
    buffer.reserveCapacity(Self.bufferedBytes + width.rawValue)
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
    for i in ids.indices {
      let id = UInt32(bitPattern: ids[i])
      buffer.append(UInt8(truncatingIfNeeded: id))
      buffer.append(UInt8(truncatingIfNeeded: id >> 8))
      if width == .uint32 {
        buffer.append(UInt8(truncatingIfNeeded: id >> 16))
        buffer.append(UInt8(truncatingIfNeeded: id >> 24))
      }
      if buffer.count >= Self.bufferedBytes { try flush() }
    }
    count += ids.count
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
    try file.write(buffer)
    buffer.removeAll(keepingCapacity: true)
  }

  /// Whether `path` is a regular file or nothing yet.
  private static func isReplaceable(_ path: String) -> Bool {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return true }
    return status.st_mode & S_IFMT == S_IFREG
  }
}
