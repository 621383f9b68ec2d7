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

  init(reading path: String) throws(DataError) {
    number = unsafe open(path, O_RDONLY | O_CLOEXEC)
    self.path = path
    guard number >= 0 else { throw .system(operation: "open", path: path, code: errno) }
  }

  init(writing path: String) throws(DataError) {
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

/// The bytes of the file at `path`, of which there may be `limit`.
func readFile(_ path: String, limit: Int) throws(DataError) -> [UInt8] {
  let file = try FileDescriptor(reading: path)
  var bytes: [UInt8] = []
  // One byte more than the size, so that a regular file needs one round and one to see its end.
  var chunk = min(try file.size(), limit) + 1
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
