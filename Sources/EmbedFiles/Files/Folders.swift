// Folders made on the way to a file, and swept of files that a killed process left unfinished.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

package enum Folders {
  /// Makes the folders that `path` names before its last part, as far as they are missing.
  package static func make(for path: String) throws(FileError) {
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

  /// Whether there is a folder at `path`, which may be a link to it.
  package static func isFolder(_ path: String) -> Bool { kind(path) == S_IFDIR }

  /// Whether there is anything at `path`.
  package static func exists(_ path: String) -> Bool { kind(path) != nil }

  private static func kind(_ path: String) -> mode_t? {
    var status = stat()
    guard !path.utf8.contains(0), unsafe stat(path, &status) == 0 else { return nil }
    return status.st_mode & S_IFMT
  }

  /// Removes the temporary files that writers which were killed have left in `folder`. None may be
  /// writing there.
  package static func removeUnfinishedFiles(in folder: String) throws(FileError) {
    guard !folder.utf8.contains(0) else {
      throw .system(operation: "open the folder", path: folder, code: EINVAL)
    }
    guard let listing = unsafe opendir(folder) else { throw .last("open the folder", folder) }
    defer { unsafe _ = closedir(listing) }
    while let entry = unsafe readdir(listing) {
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
        unsafe field.withMemoryRebound(to: CChar.self, capacity: 1) { unsafe String(cString: $0) }
      }
      guard name.hasPrefix(OutputFile.temporaryPrefix) else { continue }
      guard unsafe unlink(folder + "/" + name) == 0 else {
        throw .last("remove", folder + "/" + name)
      }
    }
  }
}
