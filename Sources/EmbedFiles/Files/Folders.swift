// Folders made on the way to a file, looked into, and swept of files that a killed process left
// unfinished.

internal import CSystem

package enum Folders {
  /// Makes the folders that `path` names before its last part, as far as they are missing.
  package static func make(for path: String) throws(FileError) {
    guard !path.utf8.contains(0) else {
      throw .system(operation: "create the folder of", path: path, code: EINVAL)
    }
    for index in path.indices.dropFirst() where path[index] == "/" {
      let folder = String(path[..<index])
      if unsafe mkdir(folder, 0o777) == 0 { continue }
      let code = cs_error()
      // A folder in a place that may not be written to need not be made if it is there.
      guard isFolder(folder) else {
        throw .system(operation: "create the folder", path: folder, code: code)
      }
    }
  }

  /// Whether there is a folder at `path`, which may be a link to it.
  package static func isFolder(_ path: String) -> Bool {
    guard var status = status(path) else { return false }
    return unsafe cs_is_folder(&status)
  }

  /// The size of the regular file at `path`; nil for pipes, devices and what cannot be looked at.
  package static func fileSize(_ path: String) -> Int? {
    guard var status = status(path), unsafe cs_is_regular(&status) else { return nil }
    return Int(status.st_size)
  }

  /// Whether there is anything at `path`.
  package static func exists(_ path: String) -> Bool { status(path) != nil }

  private static func status(_ path: String) -> stat? {
    var status = stat()
    guard !path.utf8.contains(0), unsafe stat(path, &status) == 0 else { return nil }
    return status
  }

  /// The names of what is in `folder`, sorted.
  package static func names(in folder: String) throws(FileError) -> [String] {
    guard !folder.utf8.contains(0) else {
      throw .system(operation: "open the folder", path: folder, code: EINVAL)
    }
    guard let listing = unsafe opendir(folder) else { throw .last("open the folder", folder) }
    defer { unsafe _ = closedir(listing) }
    var names: [String] = []
    while let entry = unsafe readdir(listing) {
      names.append(
        unsafe withUnsafePointer(to: &entry.pointee.d_name) { field in
          unsafe field.withMemoryRebound(to: CChar.self, capacity: 1) { unsafe String(cString: $0) }
        })
    }
    return names.sorted()
  }

  /// Removes the temporary files that writers which were killed have left in `folder`. None may be
  /// writing there.
  package static func removeUnfinishedFiles(in folder: String) throws(FileError) {
    for name in try names(in: folder) where name.hasPrefix(OutputFile.temporaryPrefix) {
      guard unsafe unlink(folder + "/" + name) == 0 else {
        throw .last("remove", folder + "/" + name)
      }
    }
  }
}
