// Everything that can be wrong with a safetensors file, each with the facts to find it by.

/// A safetensors file that cannot be read or written.
public enum SafetensorsError: Error, Equatable, Sendable {
  /// The file system refused.
  case file(FileError)

  /// The file ends inside its header.
  ///
  /// - Parameter expected: Bytes up to the header's end; saturated where the length is absurd.
  case truncatedHeader(path: String, expected: Int, actual: Int)

  /// The header is longer than the format allows.
  case headerTooLong(path: String, length: UInt64, maximum: Int)

  /// The header is not the JSON it should be.
  ///
  /// - Parameters:
  ///   - offset: Where in the file reading stopped.
  ///   - expected: What should stand there.
  case malformedHeader(path: String, offset: Int, expected: String)

  /// A name stands for two tensors, or a key for two values.
  case duplicateName(path: String, name: String)

  /// The tensor ends before it begins.
  case fallingOffsets(path: String, tensor: String, start: Int, end: Int)

  /// The shape's elements, or their bytes, are more than an `Int` counts.
  case shapeOverflow(path: String, tensor: String, shape: [Int])

  /// The tensor's bytes are more or fewer than its shape and type need.
  case byteCount(path: String, tensor: String, shape: [Int], expected: Int, actual: Int)

  /// The tensor begins inside the one before it.
  case overlap(path: String, tensor: String, start: Int, previousEnd: Int)

  /// Bytes before the tensor belong to none.
  case hole(path: String, tensor: String, start: Int, previousEnd: Int)

  /// The data after the header are fewer or more than the tensors need, in bytes.
  case dataSize(path: String, expected: Int, actual: Int)

  /// No tensor has any of the names looked for.
  case missingTensor(path: String, expected: [String], found: [String])

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

  /// The tensor's elements are of another type than asked for.
  case elementType(path: String, tensor: String, expected: String, found: SafetensorsType)

  /// The tensor is not of the shape that its use needs.
  case shape(path: String, tensor: String, expected: String, found: [Int])

  /// The memory given does not hold as many elements as the shape says.
  case elementCount(path: String, tensor: String, shape: [Int], count: Int)

  /// A tensor was written twice, or is not among those announced.
  case unexpectedTensor(path: String, tensor: String, expected: [String])

  /// Some of the tensors announced were not written.
  case unwrittenTensors(path: String, tensors: [String])

  /// The layer does not fit the file, or there is no memory for it.
  case embed(EmbedError)
}

extension SafetensorsError: CustomStringConvertible {
  /// One line naming the path, the place, what was expected and what was found.
  public var description: String {
    switch self {
    case .file(let error):
      return error.description
    case .truncatedHeader(let path, let expected, let actual):
      return "'\(path)' ends in its header: expected at least \(expected) bytes, found \(actual)"
    case .headerTooLong(let path, let length, let maximum):
      return "'\(path)': expected a header of at most \(maximum) bytes, found \(length)"
    case .malformedHeader(let path, let offset, let expected):
      return "'\(path)': at offset \(offset), expected \(expected)"
    case .duplicateName(let path, let name):
      return "'\(path)': the name \(quoted(name)) is given twice"
    case .fallingOffsets(let path, let tensor, let start, let end):
      return
        "'\(path)': tensor \(quoted(tensor)) begins at \(start) and ends before that, at \(end)"
    case .shapeOverflow(let path, let tensor, let shape):
      return "'\(path)': tensor \(quoted(tensor)): shape \(shape) holds more elements than can be "
        + "addressed"
    case .byteCount(let path, let tensor, let shape, let expected, let actual):
      return "'\(path)': tensor \(quoted(tensor)): expected \(expected) bytes for shape \(shape), "
        + "found \(actual)"
    case .overlap(let path, let tensor, let start, let previousEnd):
      return "'\(path)': tensor \(quoted(tensor)) begins at \(start), inside the one before it, "
        + "which ends at \(previousEnd)"
    case .hole(let path, let tensor, let start, let previousEnd):
      return "'\(path)': tensor \(quoted(tensor)) begins at \(start), but the bytes from "
        + "\(previousEnd) on belong to no tensor"
    case .dataSize(let path, let expected, let actual):
      return "'\(path)': expected \(expected) bytes of data, found \(actual)"
    case .missingTensor(let path, let expected, let found):
      return "'\(path)': expected a tensor named \(list(expected, "or")), found "
        + nearest(expected, found)
    case .ambiguousTensor(let path, let candidates):
      return "'\(path)': which of \(list(candidates, "and")) is meant? Give EmbeddingNames of one"
    case .leftOut(let path, let tensors, let reader):
      return
        "'\(path)': the input embedding also has \(list(tensors, "and")), without which it would "
        + "be another; "
        + (reader.map { "read it by \($0)" } ?? "give EmbeddingNames of those to read")
    case .noModel(let path):
      return "'\(path)' holds neither model.safetensors nor model.safetensors.index.json"
    case .oneShard(let path):
      return
        "'\(path)' is one of several files, of which others may hold more of the input embedding: "
        + "open their index (.index.json) or folder, or give EmbeddingNames"
    case .invalidShard(let path, let tensor, let shard):
      return
        "'\(path)': tensor \(quoted(tensor)): expected the name of a file in or below the index's "
        + "folder, found \(quoted(shard))"
    case .elementType(let path, let tensor, let expected, let found):
      return "'\(path)': tensor \(quoted(tensor)): expected elements of type \(expected), "
        + "found \(found.rawValue)"
    case .shape(let path, let tensor, let expected, let found):
      return "'\(path)': tensor \(quoted(tensor)): expected shape \(expected), found \(found)"
    case .elementCount(let path, let tensor, let shape, let count):
      return "'\(path)': tensor \(quoted(tensor)): shape \(shape) does not hold the \(count) "
        + "elements given"
    case .unexpectedTensor(let path, let tensor, let expected):
      return "'\(path)': tensor \(quoted(tensor)) is written twice or was not announced; "
        + "still to write: \(list(expected, "and"))"
    case .unwrittenTensors(let path, let tensors):
      return "'\(path)': these tensors were announced and not written: \(list(tensors, "and"))"
    case .embed(let error):
      return error.description
    }
  }

  /// All names of a small file; of others the nearest to what was expected.
  private func nearest(_ expected: [String], _ found: [String]) -> String {
    guard found.count > 8 else { return list(found, "and") }
    return "\(found.count) others, of which the nearest are "
      + list(NearestNames.among(found, to: expected), "and")
  }

  /// Names in quotes, cut where a large model's would fill the screen.
  private func list(_ names: [String], _ conjunction: String) -> String {
    let limit = 40
    guard let last = names.last else { return "none" }
    guard names.count > 1 else { return quoted(last) }
    guard names.count <= limit else {
      return names.prefix(limit).map(quoted).joined(separator: ", ")
        + " \(conjunction) \(names.count - limit) more"
    }
    return names.dropLast().map(quoted).joined(separator: ", ") + " \(conjunction) \(quoted(last))"
  }

  /// `text` in quotes on one line, control characters escaped, cut where it is very long.
  private func quoted(_ text: String) -> String {
    let limit = 200
    let visible = text.unicodeScalars.prefix(limit).map {
      $0.properties.generalCategory == .control ? $0.escaped(asASCII: true) : String($0)
    }
    return "\"" + visible.joined() + (text.unicodeScalars.count > limit ? "..." : "") + "\""
  }
}

extension SafetensorsError {
  /// Evaluates `body`, giving its file error as one of this type.
  static func wrapping<Result: ~Copyable>(
    _ body: @autoclosure () throws(FileError) -> Result
  ) throws(SafetensorsError) -> Result {
    do throws(FileError) {
      return try body()
    } catch {
      throw .file(error)
    }
  }

  /// Evaluates `body`, giving the library's error as one of this type.
  static func wrappingEmbed<Result: ~Copyable>(
    _ body: () throws(EmbedError) -> Result
  ) throws(SafetensorsError) -> Result {
    do throws(EmbedError) {
      return try body()
    } catch {
      throw .embed(error)
    }
  }
}
