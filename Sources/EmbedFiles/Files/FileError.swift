// What went wrong between the library and the file system, as a value.
//
// File formats (`NumPyError`) wrap it, so that a missing file and a malformed one are told apart
// and both name the path.

internal import CSystem

/// A failed operation on a file.
public enum FileError: Error, Equatable, Sendable {
  /// A system call failed.
  ///
  /// - Parameters:
  ///   - operation: What was tried: `open`, `read`, `write`, `rename` and the like.
  ///   - path: The file it was tried on.
  ///   - code: The `errno` it left.
  case system(operation: String, path: String, code: Int32)

  /// The path names a folder, a pipe or a device where a plain file is needed.
  case notRegularFile(path: String)

  /// What is at the path cannot be read to an end.
  case unsuitable(path: String, reason: String)
}

extension FileError: CustomStringConvertible {
  /// One line naming the operation, the path and the system's reason.
  public var description: String {
    switch self {
    case .system(let operation, let path, _) where path.isEmpty:
      return "cannot \(operation) '': the path is empty"
    case .system(let operation, let path, let code):
      let reason = unsafe strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
      return "cannot \(operation) '\(path)': \(reason)"
    case .notRegularFile(let path):
      return "'\(path)' is not a regular file"
    case .unsuitable(let path, let reason):
      return "'\(path)' \(reason)"
    }
  }
}

extension FileError {
  /// The error that the calling thread's `errno` tells of; to be made before anything else runs.
  package static func last(_ operation: String, _ path: String) -> FileError {
    .system(operation: operation, path: path, code: cs_error())
  }
}

/// An error of a file's format, which may also be the file system's.
public protocol FileWrappingError: Error {
  /// The file system refused.
  static func file(_ error: FileError) -> Self
}

extension FileWrappingError {
  /// Evaluates `body`, giving its file error as one of this type.
  package static func wrapping<Result: ~Copyable>(
    _ body: @autoclosure () throws(FileError) -> Result
  ) throws(Self) -> Result {
    do throws(FileError) {
      return try body()
    } catch {
      throw .file(error)
    }
  }
}
