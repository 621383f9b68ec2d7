// What can be wrong with a published model's files beyond their format.

public import EmbedKernel

/// A model whose input embedding cannot be read or written.
public enum ModelError: FileWrappingError, Equatable, Sendable {
  /// A file is malformed, or holds something else than was looked for.
  case safetensors(SafetensorsError)

  /// Several tensors could be meant.
  case ambiguousTensor(path: String, candidates: [String])

  /// These tensors belong to the input embedding and would be left out of it.
  ///
  /// - Parameter reader: The type that reads them; nil where there is none.
  case leftOut(path: String, tensors: [String], reader: String?)

  /// The folder holds neither a model's file nor an index.
  case noModel(path: String)

  /// The file is one shard of a model, of which others may hold more of the input embedding.
  case oneShard(path: String)

  /// An index gives a tensor to a shard that is no file in or below the index's folder.
  case invalidShard(path: String, tensor: String, shard: String)

  /// The layer does not fit the file, or there is no memory for it.
  case embed(EmbedError)
}

extension ModelError: CustomStringConvertible {
  /// One line naming the path, the place, what was expected and what was found.
  public var description: String {
    switch self {
    case .safetensors(let error):
      error.description
    case .ambiguousTensor(let path, let candidates):
      "'\(path)': which of \(candidates.listed("and")) is meant? Give EmbeddingNames of one"
    case .leftOut(let path, let tensors, let reader):
      "'\(path)': the input embedding also has \(tensors.listed("and")), without which it would be "
        + "another; \(reader.map { "read it by \($0)" } ?? "give EmbeddingNames of those to read")"
    case .noModel(let path):
      "'\(path)' holds neither model.safetensors nor model.safetensors.index.json"
    case .oneShard(let path):
      "'\(path)' is one of several files, of which others may hold more of the input embedding: open "
        + "their index (.index.json) or folder, or give EmbeddingNames"
    case .invalidShard(let path, let tensor, let shard):
      "'\(path)': tensor \(tensor.inQuotes): expected the name of a file in or below the index's "
        + "folder, found \(shard.inQuotes)"
    case .embed(let error):
      error.description
    }
  }
}

extension ModelError {
  /// The file system refused.
  public static func file(_ error: FileError) -> ModelError { .safetensors(.file(error)) }

  /// Evaluates `body`, giving a file's error as one of this type.
  static func wrapping<Result: ~Copyable>(
    safetensors body: @autoclosure () throws(SafetensorsError) -> Result
  ) throws(ModelError) -> Result {
    do throws(SafetensorsError) { return try body() } catch { throw .safetensors(error) }
  }

  /// Evaluates `body`, giving the kernels' error as one of this type.
  static func wrapping<Result: ~Copyable>(
    embed body: @autoclosure () throws(EmbedError) -> Result
  ) throws(ModelError) -> Result {
    do throws(EmbedError) { return try body() } catch { throw .embed(error) }
  }
}
