// What a run keeps in its folder, by name.

internal import EmbedDistributed
internal import EmbedKernel

internal import CSystem

/// How a run's checkpoints are written.
enum CheckpointForm: String, CaseIterable {
  /// As one file, by the first rank.
  case whole
  /// As files that an index names, by each rank its shard.
  case sharded
}

/// A run's folder.
struct RunFolder {
  let path: String

  init(_ path: String) { self.path = path }

  /// The whole state of the run, from which it goes on.
  var checkpoint: String { path + "/checkpoint.safetensors" }
  /// What names the files of the state, where ranks write it together.
  var index: String { CheckpointIndex.path(in: path) }
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

  /// The state to go on from: the file of it, or the folder itself, where an index names its files; nil where there
  /// is none.
  ///
  /// - Throws: `CommandError` where there are both, of which one is another run's.
  func state() throws(CommandError) -> String? {
    switch (Folders.fileSize(checkpoint) != nil, Folders.fileSize(index) != nil) {
    case (true, true):
      throw .data("both '\(checkpoint)' and '\(index)' are there, of which a run has one")
    case (true, false): return checkpoint
    case (false, true): return path
    case (false, false): return nil
    }
  }

  /// Makes the folder, where there is none, for a new run.
  ///
  /// - Returns: What keeps other runs out of it.
  /// - Throws: `CommandError` where a run is in it, or under way.
  func makeForNewRun() throws -> FolderLock {
    try Folders.make(for: checkpoint)
    let lock = try FolderLock(path)
    try checkEmpty()
    try removeTemporaryFiles()
    return lock
  }

  /// Keeps other runs out of a folder that is there.
  ///
  /// - Throws: `CommandError` where another run is under way in it.
  func lock() throws -> FolderLock { try FolderLock(path) }

  /// Checks that a new run may begin, as far as that shows before its folder is made.
  ///
  /// - Throws: `CommandError` where a run is in it, or under way.
  func checkFree() throws {
    guard Folders.isFolder(path) else { return }
    _ = try lock()
    try checkEmpty()
  }

  private func checkEmpty() throws(CommandError) {
    guard !exists(checkpoint), !exists(index) else {
      throw .data("'\(path)' holds a run; go on with it by --resume, or name another folder")
    }
  }

  /// Removes what a process that was killed while it wrote has left behind.
  func removeTemporaryFiles() throws(FileError) { try Folders.removeUnfinishedFiles(in: path) }
}

/// Whether there is anything at `path`.
func exists(_ path: String) -> Bool {
  var status = stat()
  return unsafe lstat(path, &status) == 0
}

/// The path from the root, as far as the system knows it.
func absolutePath(_ path: String) -> String {
  guard let resolved = unsafe realpath(path, nil) else { return path }
  defer { unsafe free(resolved) }
  return unsafe String(cString: resolved)
}
