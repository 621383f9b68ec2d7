// An open file to read: the system's calls behind a handle that closes itself.
//
// The library keeps clear of Foundation so that a program that links it stays small.

internal import CSystem

/// Bytes that a header is read from.
package protocol ByteSource: ~Copyable {
  /// What errors call it.
  var path: String { get }
  var byteCount: Int { get }
  /// The bytes from `offset` on: `count` of them, or fewer at the end.
  func bytes(at offset: Int, count: Int) throws(FileError) -> [UInt8]
}

/// A regular file open for reading, closed when the value goes.
package struct InputFile: ByteSource, ~Copyable {
  package let path: String
  /// Its size when it was opened.
  package let byteCount: Int
  let descriptor: CInt

  /// Opens the file at `path`.
  package init(_ path: String) throws(FileError) {
    let (descriptor, status) = try Self.open(path)
    guard unsafe withUnsafePointer(to: status, { unsafe cs_is_regular($0) }) else {
      _ = close(descriptor)
      throw .notRegularFile(path: path)
    }
    self.path = path
    self.byteCount = Int(status.st_size)
    self.descriptor = descriptor
  }

  deinit { _ = close(descriptor) }

  /// Opens whatever is at `path`, without waiting for what a pipe may bring.
  static func open(_ path: String) throws(FileError) -> (descriptor: CInt, status: stat) {
    // C would cut the path at the zero and open another file.
    guard !path.utf8.contains(0) else {
      throw .system(operation: "open", path: path, code: EINVAL)
    }
    // Without O_NONBLOCK, opening a pipe would wait for its writer before it can be refused.
    let descriptor = unsafe cs_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0)
    guard descriptor >= 0 else { throw .last("open", path) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      let error = FileError.last("examine", path)
      _ = close(descriptor)
      throw error
    }
    return (descriptor, status)
  }

  /// Fills `bytes` from `offset` on; returns how many bytes there were before the end of the file.
  @unsafe package func read(
    into bytes: UnsafeMutableRawBufferPointer, at offset: Int
  ) throws(FileError) -> Int {
    let count = unsafe cs_read(descriptor, bytes.baseAddress, bytes.count, off_t(offset))
    guard count >= 0 else { throw .last("read", path) }
    return count
  }

  /// The bytes from `offset` on: `count` of them, or fewer where the file ends first.
  package func bytes(at offset: Int, count: Int) throws(FileError) -> [UInt8] {
    let available = max(0, min(count, byteCount - offset))
    guard SystemMemory.has(available) else {
      throw .system(operation: "read", path: path, code: ENOMEM)
    }
    var bytes = [UInt8](repeating: 0, count: available)
    var span = bytes.mutableSpan
    let filled = try unsafe span.withUnsafeMutableBytes { (buffer) throws(FileError) in
      try unsafe read(into: buffer, at: offset)
    }
    bytes.removeLast(available - filled)
    return bytes
  }
}
