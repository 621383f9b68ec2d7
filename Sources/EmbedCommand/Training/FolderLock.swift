// One writer a folder: two processes that write the same files undo each other's work, and both would
// end well. The lock is the system's (`flock`) on the folder itself: it leaves no file, and goes with
// the process, whatever ends it. Readers need none, as files are replaced whole.

internal import EmbedKernel

internal import CSystem

/// A folder that no other process may lock while the value lives.
final class FolderLock {
  private let descriptor: CInt

  /// Locks the folder at `path`, which must be there.
  ///
  /// - Throws: `CommandError` where another process has it, `FileError` where it cannot be opened.
  init(_ path: String) throws {
    guard !path.utf8.contains(0) else {
      throw FileError.system(operation: "open the folder", path: path, code: EINVAL)
    }
    descriptor = unsafe cs_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard descriptor >= 0 else { throw FileError.last("open the folder", path) }
    while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let code = cs_error()
      if code == EINTR { continue }
      guard code != EWOULDBLOCK else {
        throw CommandError.data(
          "another embedkernel is writing in '\(path)': wait for its end, or name another folder")
      }
      // Some network file systems lock no folders; that is no reason to do nothing there.
      let reason = unsafe String(cString: strerror(code))
      Report.standardError.line(
        "embedkernel: cannot lock '\(path)' (\(reason)): no other process may write there")
      return
    }
  }

  /// Locks the folder that the file at `path` is in, or will be.
  convenience init(containing path: String) throws {
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    try self.init(folder)
  }

  deinit { _ = close(descriptor) }
}
