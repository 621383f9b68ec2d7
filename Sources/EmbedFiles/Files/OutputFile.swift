// A file written whole or not at all: a temporary neighbour, renamed over the target at the end.
//
// A reader sees the old file or the new one, never half of either. `commit()` guards against a
// failed or killed writer; `commit(.durable)` forces file and folder to the disk (`fsync`) and so
// guards against a power cut too.

internal import CSystem

/// What a finished file must survive.
package enum Durability {
  /// The end of the process.
  case process
  /// The end of the machine's power.
  case durable
}

/// A file being written. Until `commit()` the target is untouched; dropped before, it leaves
/// nothing behind.
///
/// A target that exists and is no regular file (a link such as `/dev/stdout`, a pipe, a device) is
/// written in place, because a rename would replace the link or the device itself.
package struct OutputFile: ~Copyable {
  /// How the names of temporary files begin.
  static let temporaryPrefix = ".embedkernel-"

  private let path: String
  private let temporaryPath: String?
  private var descriptor: CInt
  private var isCommitted = false

  /// Starts a file that will be in the place of what is at `path`, following links to the file
  /// they name; refuses pipes and devices, which cannot be replaced whole.
  package init(replacing path: String) throws(FileError) {
    guard !path.utf8.contains(0) else {
      throw .system(operation: "create", path: path, code: EINVAL)
    }
    var status = stat()
    guard unsafe stat(path, &status) == 0 else {
      try self.init(path)
      return
    }
    guard unsafe cs_is_regular(&status) else { throw .notRegularFile(path: path) }
    guard let resolved = unsafe realpath(path, nil) else { throw .last("resolve", path) }
    defer { unsafe free(resolved) }
    try self.init(unsafe String(cString: resolved))
  }

  /// Starts a file that will be at `path`.
  package init(_ path: String) throws(FileError) {
    guard !path.utf8.contains(0) else {
      throw .system(operation: "create", path: path, code: EINVAL)
    }
    var status = stat()
    let exists = unsafe lstat(path, &status) == 0
    if exists, unsafe !cs_is_regular(&status) {
      let descriptor = unsafe cs_open(path, O_WRONLY | O_TRUNC | O_CLOEXEC, 0)
      guard descriptor >= 0 else { throw .last("open", path) }
      self.init(path: path, temporaryPath: nil, descriptor: descriptor)
    } else {
      let directory = path.lastIndex(of: "/").map { path[...$0] } ?? ""
      let suffix = String(UInt64.random(in: .min ... .max), radix: 16)
      let temporary = "\(directory)\(Self.temporaryPrefix)\(suffix)"
      let descriptor = unsafe cs_open(
        temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
      guard descriptor >= 0 else { throw .last("create", path) }
      // A file that is replaced keeps its permissions; failing that, the new one's will do.
      if exists { _ = fchmod(descriptor, status.st_mode & 0o7777) }
      self.init(path: path, temporaryPath: temporary, descriptor: descriptor)
    }
  }

  private init(path: String, temporaryPath: String?, descriptor: CInt) {
    self.path = path
    self.temporaryPath = temporaryPath
    self.descriptor = descriptor
  }

  deinit {
    if descriptor >= 0 { _ = close(descriptor) }
    if !isCommitted, let temporaryPath { _ = unsafe unlink(temporaryPath) }
  }

  /// Appends `bytes`, straight from the caller's memory.
  package func write(_ bytes: RawSpan) throws(FileError) { try write(bytes, at: -1) }

  /// Writes `bytes` at `offset`; below 0, where the last ones ended.
  package func write(_ bytes: RawSpan, at offset: Int) throws(FileError) {
    let isWritten = unsafe bytes.withUnsafeBytes { bytes in
      unsafe cs_write(descriptor, bytes.baseAddress, bytes.count, off_t(offset))
    }
    guard isWritten else { throw .last("write", path) }
  }

  /// Puts the finished file in the target's place.
  package mutating func commit(_ durability: Durability = .process) throws(FileError) {
    if durability == .durable, fsync(descriptor) != 0 { throw .last("synchronise", path) }
    // Some file systems report a full disk only here.
    let result = close(descriptor)
    descriptor = -1
    guard result == 0 else { throw .last("write", path) }
    if let temporaryPath {
      guard unsafe rename(temporaryPath, path) == 0 else { throw .last("rename to", path) }
    }
    isCommitted = true
    if durability == .durable { try Self.synchroniseFolder(of: path) }
  }

  /// Forces the folder's entry for `path` to the disk.
  private static func synchroniseFolder(of path: String) throws(FileError) {
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    let descriptor = unsafe cs_open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
    guard descriptor >= 0 else { throw .last("open", folder) }
    defer { _ = close(descriptor) }
    // Some file systems have nothing to synchronise for a folder and say so.
    guard fsync(descriptor) == 0 || cs_error() == EINVAL else { throw .last("synchronise", folder) }
  }
}
