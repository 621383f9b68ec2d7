// What a run keeps in its folder, by name.

internal import EmbedKernel

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// A run's folder.
struct RunFolder {
  let path: String

  init(_ path: String) { self.path = path }

  /// The whole state of the run, from which it goes on.
  var checkpoint: String { path + "/checkpoint.safetensors" }
  /// The parameters alone, once the run has ended.
  var model: String { path + "/model.safetensors" }
  /// Hugging Face's configuration of the model.
  var configuration: String { path + "/config.json" }
  /// A row a step.
  var losses: String { path + "/losses.csv" }
  /// The losses as a picture.
  var chart: String { path + "/losses.svg" }
  /// What the model wrote at the end.
  var sample: String { path + "/sample.txt" }

  /// Makes the folder, where there is none, for a new run.
  ///
  /// - Throws: `CommandError` where a run is in it.
  func makeForNewRun() throws {
    guard fileSize(checkpoint) == nil else {
      throw CommandError.data(
        "'\(path)' holds a run; go on with it by --resume, or name another folder")
    }
    try Folders.make(for: checkpoint)
    try removeTemporaryFiles()
  }

  /// Removes what a process that was killed while it wrote has left behind.
  func removeTemporaryFiles() throws(FileError) { try Folders.removeUnfinishedFiles(in: path) }
}

/// Whether there is a folder at `path`.
func isFolder(_ path: String) -> Bool {
  var status = stat()
  return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// The path from the root, as far as the system knows it.
func absolutePath(_ path: String) -> String {
  guard let resolved = unsafe realpath(path, nil) else { return path }
  defer { unsafe free(resolved) }
  return unsafe String(cString: resolved)
}
