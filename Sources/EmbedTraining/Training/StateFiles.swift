// Where a run's state is: in one file, or in a folder whose index names the model's file and the optimiser's.

internal import EmbedDistributed
internal import EmbedKernel

/// The files of a run's state.
struct StateFiles {
  /// The file of the parameters, with the run's texts.
  let model: String
  /// The file of the optimiser's arrays.
  let optimizer: String?
  /// Of a folder.
  let index: CheckpointIndex?

  /// - Parameter path: A file, or a folder with an index.
  init(_ path: String) throws(TrainingError) {
    guard Folders.isFolder(path) else {
      (model, optimizer, index) = (path, path, nil)
      return
    }
    do {
      let index = try CheckpointIndex(path)
      model = try index.file(of: "wte.weight", path)
      optimizer = try? index.optimizerFile(path)
      self.index = index
    } catch let error as SafetensorsError {
      throw .file(error)
    } catch let error as FileError {
      throw .file(.file(error))
    } catch let error as DistributedError {
      throw .ranks(error)
    } catch {
      throw .ranks(.file(reason: "'\(CheckpointIndex.path(in: path))': \(error)"))
    }
  }

  /// The optimiser's file.
  ///
  /// - Throws: `checkpoint` for an index without one.
  func state(in path: String) throws(TrainingError) -> String {
    guard let optimizer else {
      throw .checkpoint(
        path: CheckpointIndex.path(in: path), key: "optimizer", found: nil,
        expected: "the name of the file of the optimiser's state")
    }
    return optimizer
  }
}
