// A file that grows by lines, each handed to the system at once: what was appended survives the end of
// the process.

internal import EmbedKernel

internal import CSystem

/// A file open for appending, closed when the value goes.
struct AppendedFile: ~Copyable {
  private let path: String
  private let descriptor: CInt

  /// Opens the file at `path`, which is made where there is none.
  init(_ path: String) throws(FileError) {
    // Without O_NONBLOCK, opening a pipe would wait for its reader before it can be refused.
    descriptor = unsafe cs_open(
      path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0o666)
    self.path = path
    guard descriptor >= 0 else { throw .last("open", path) }
    guard Folders.fileSize(path) != nil else { throw .notRegularFile(path: path) }
  }

  deinit { _ = close(descriptor) }

  /// Cuts off what comes after the first `length` bytes.
  func cut(to length: Int) throws(FileError) {
    guard ftruncate(descriptor, off_t(length)) == 0 else { throw .last("cut", path) }
  }

  /// Adds text to the end.
  func append(_ text: String) throws(FileError) {
    let code = writeFully(text, to: descriptor)
    guard code == 0 else { throw .system(operation: "write", path: path, code: code) }
  }

  /// Forces the file to the disk.
  func synchronise() throws(FileError) {
    guard fsync(descriptor) == 0 else { throw .last("synchronise", path) }
  }
}
