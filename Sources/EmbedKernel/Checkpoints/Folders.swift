// Folders made on the way to a file.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

enum Folders {
  /// Makes the folders that `path` names before its last part, as far as they are missing.
  static func make(for path: String) throws(FileError) {
    guard !path.utf8.contains(0) else {
      throw .system(operation: "create the folder of", path: path, code: EINVAL)
    }
    for index in path.indices.dropFirst() where path[index] == "/" {
      let folder = String(path[..<index])
      if unsafe mkdir(folder, 0o777) == 0 { continue }
      let code = errno
      // A folder in a place that may not be written to need not be made if it is there.
      var status = stat()
      guard unsafe stat(folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
        throw .system(operation: "create the folder", path: folder, code: code)
      }
    }
  }
}
