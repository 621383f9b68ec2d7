// The few calls to the operating system that this library makes, as typed throws: open, read,
// write, size and the text of an error code.

#if canImport(Darwin)
  internal import Darwin
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// The system's text for an `errno`.
func errorText(_ code: Int32) -> String {
  guard let text = unsafe strerror(code) else { return "error \(code)" }
  return unsafe String(cString: text)
}

/// An open file descriptor that closes itself.
final class FileDescriptor {
  let number: Int32
  let path: String

  /// Whether it has a size and can be read again; else it is a pipe or a terminal.
  let isRegular: Bool
  /// A byte that was read while looking for a writer.
  private var early: UInt8?

  /// Opens a file, a pipe or a terminal.
  ///
  /// - Throws: `system`; `unsuitableFile` for devices, which may have no end, and for a pipe that
  ///   nobody opens for writing within some seconds.
  init(reading path: String) throws(DataError) {
    // Without O_NONBLOCK, opening a pipe would wait for a writer, for ever where there is none.
    number = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    self.path = path
    var status = stat()
    let code = unsafe number < 0 || fstat(number, &status) != 0 ? errno : 0
    let kind = status.st_mode & S_IFMT
    isRegular = kind == S_IFREG
    guard code == 0 else { throw .system(operation: "open", path: path, code: code) }
    if kind == S_IFBLK || kind == S_IFCHR && isatty(number) != 1 {
      throw .unsuitableFile(path: path, reason: "is a device, which may have no end")
    }
    if kind == S_IFIFO, !hasWriter() {
      throw .unsuitableFile(path: path, reason: "is a pipe that no process writes to")
    }
    _ = fcntl(number, F_SETFL, fcntl(number, F_GETFL) & ~O_NONBLOCK)
  }

  /// Whether a pipe has bytes, an end or at least a writer, waiting some seconds for one.
  private func hasWriter() -> Bool {
    var state = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&state, 1, 5_000) == 0 else { return true }
    // A pipe without a writer is at its end; with one, this read would have to wait.
    var byte: UInt8 = 0
    let count = unsafe systemRead(number, &byte, 1)
    if count == 1 { early = byte }
    return count != 0
  }

  init(writing path: String) throws(DataError) {
    isRegular = true
    number = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    self.path = path
    guard number >= 0 else { throw .system(operation: "create", path: path, code: errno) }
  }

  deinit { close(number) }

  /// The size in bytes; 0 for pipes and devices. A folder is refused as the system does on reading.
  func size() throws(DataError) -> Int {
    var status = stat()
    guard unsafe fstat(number, &status) == 0 else {
      throw .system(operation: "stat", path: path, code: errno)
    }
    guard status.st_mode & S_IFMT != S_IFDIR else {
      throw .system(operation: "read", path: path, code: EISDIR)
    }
    return Int(status.st_size)
  }

  /// Reads up to `count` bytes onto the end of `bytes`; returns how many, 0 at the end of the file.
  func read(_ count: Int, appendingTo bytes: inout [UInt8]) throws(DataError) -> Int {
    let start = bytes.count
    bytes.append(contentsOf: repeatElement(0, count: count))
    var done = 0
    if count > 0, let byte = early {
      bytes[start] = byte
      early = nil
      done = 1
    }
    var failure: Int32 = 0
    unsafe bytes.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      while done < count {
        let got = unsafe systemRead(number, base + start + done, count - done)
        if got > 0 {
          done += got
        } else if got == 0 {
          return
        } else if errno != EINTR {
          failure = errno
          return
        }
      }
    }
    bytes.removeLast(count - done)
    guard failure == 0 else { throw .system(operation: "read", path: path, code: failure) }
    return done
  }

  /// Writes all of the elements' bytes.
  func write(_ elements: [some BitwiseCopyable]) throws(DataError) {
    var failure: Int32 = 0
    unsafe elements.withUnsafeBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      var done = 0
      while done < buffer.count {
        let put = unsafe systemWrite(number, base + done, buffer.count - done)
        if put >= 0 {
          done += put
        } else if errno != EINTR {
          failure = errno
          return
        }
      }
    }
    guard failure == 0 else { throw .system(operation: "write", path: path, code: failure) }
  }
}

/// The bytes of the regular file at `path`, of which there may be `limit`.
func readFile(_ path: String, limit: Int) throws(DataError) -> [UInt8] {
  let file = try FileDescriptor(reading: path)
  let size = try file.size()
  guard file.isRegular else {
    throw .unsuitableFile(path: path, reason: "is not a regular file")
  }
  var bytes: [UInt8] = []
  // One byte more than the size, so that a regular file needs one round and one to see its end.
  var chunk = min(size, limit) + 1
  while try file.read(chunk, appendingTo: &bytes) == chunk {
    guard bytes.count <= limit else { throw .fileTooLarge(path: path, limit: limit) }
    chunk = min(1 << 16, limit - bytes.count + 1)
  }
  return bytes
}

// Outside the class, where `read` and `write` still mean the system's.
private func systemRead(_ file: Int32, _ base: UnsafeMutableRawPointer, _ count: Int) -> Int {
  unsafe read(file, base, count)
}

private func systemWrite(_ file: Int32, _ base: UnsafeRawPointer, _ count: Int) -> Int {
  unsafe write(file, base, count)
}
