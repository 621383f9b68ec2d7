// Bytes one after another, of a file, a pipe or a terminal: what has an end, or will have one.

internal import CSystem

/// A file, a pipe or a terminal open for reading, closed when the value goes.
package struct InputStream: ~Copyable {
  private let path: String
  private let descriptor: CInt
  /// A byte that was read while looking for a writer.
  private var early: UInt8?

  /// Opens what is at `path`.
  ///
  /// - Throws: `FileError`: also `unsuitable` for devices, which may have no end, and for a pipe that
  ///   nobody opens for writing within some seconds.
  package init(_ path: String) throws(FileError) {
    let (descriptor, status) = try InputFile.open(path)
    do throws(FileError) {
      early = try unsafe withUnsafePointer(to: status) { (status) throws(FileError) in
        if unsafe cs_is_folder(status) {
          throw .system(operation: "read", path: path, code: EISDIR)
        }
        if unsafe cs_is_device(status), isatty(descriptor) != 1 {
          throw .unsuitable(path: path, reason: "is a device, which may have no end")
        }
        return unsafe cs_is_pipe(status) ? try Self.firstByte(descriptor, path) : nil
      }
    } catch {
      _ = close(descriptor)
      throw error
    }
    cs_wait_for(descriptor)
    self.path = path
    self.descriptor = descriptor
  }

  deinit { _ = close(descriptor) }

  /// Waits some seconds until a pipe has bytes, an end or at least a writer; the first byte where it
  /// takes one to tell.
  private static func firstByte(_ descriptor: CInt, _ path: String) throws(FileError) -> UInt8? {
    var state = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    guard unsafe poll(&state, 1, 5_000) == 0 else { return nil }
    // A pipe without a writer is at its end; with one, this read would have to wait.
    var byte: UInt8 = 0
    let count = unsafe cs_read(descriptor, &byte, 1, -1)
    guard count != 0 else {
      throw .unsuitable(path: path, reason: "is a pipe that no process writes to")
    }
    return count == 1 ? byte : nil
  }

  /// Reads up to `count` bytes onto the end of `bytes`; returns how many, fewer only at the end.
  package mutating func read(
    _ count: Int, appendingTo bytes: inout [UInt8]
  ) throws(FileError) -> Int {
    guard count > 0 else { return 0 }
    let start = bytes.count
    bytes.append(contentsOf: repeatElement(0, count: count))
    var done = 0
    if let byte = early {
      bytes[start] = byte
      early = nil
      done = 1
    }
    var span = bytes.mutableSpan
    let got = unsafe span.withUnsafeMutableBytes { buffer in
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[(start + done)...])
      return unsafe cs_read(descriptor, rest.baseAddress, rest.count, -1)
    }
    guard got >= 0 else {
      let error = FileError.last("read", path)
      bytes.removeLast(count - done)
      throw error
    }
    bytes.removeLast(count - done - got)
    return done + got
  }
}
