// Everything that can be wrong with a safetensors file, each with the facts to find it by.

/// A safetensors file that cannot be read or written.
public enum SafetensorsError: FileWrappingError, Equatable, Sendable {
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
      return "'\(path)': the name \(name.inQuotes) is given twice"
    case .fallingOffsets(let path, let tensor, let start, let end):
      return
        "'\(path)': tensor \(tensor.inQuotes) begins at \(start) and ends before that, at \(end)"
    case .shapeOverflow(let path, let tensor, let shape):
      return "'\(path)': tensor \(tensor.inQuotes): shape \(shape) holds more elements than can be "
        + "addressed"
    case .byteCount(let path, let tensor, let shape, let expected, let actual):
      return "'\(path)': tensor \(tensor.inQuotes): expected \(expected) bytes for shape \(shape), "
        + "found \(actual)"
    case .overlap(let path, let tensor, let start, let previousEnd):
      return "'\(path)': tensor \(tensor.inQuotes) begins at \(start), inside the one before it, "
        + "which ends at \(previousEnd)"
    case .hole(let path, let tensor, let start, let previousEnd):
      return "'\(path)': tensor \(tensor.inQuotes) begins at \(start), but the bytes from "
        + "\(previousEnd) on belong to no tensor"
    case .dataSize(let path, let expected, let actual):
      return "'\(path)': expected \(expected) bytes of data, found \(actual)"
    case .missingTensor(let path, let expected, let found):
      return "'\(path)': expected a tensor named \(expected.listed("or")), found "
        + found.nearest(to: expected)
    case .elementType(let path, let tensor, let expected, let found):
      return "'\(path)': tensor \(tensor.inQuotes): expected elements of type \(expected), "
        + "found \(found.rawValue)"
    case .shape(let path, let tensor, let expected, let found):
      return "'\(path)': tensor \(tensor.inQuotes): expected shape \(expected), found \(found)"
    case .elementCount(let path, let tensor, let shape, let count):
      return "'\(path)': tensor \(tensor.inQuotes): shape \(shape) does not hold the \(count) "
        + "elements given"
    case .unexpectedTensor(let path, let tensor, let expected):
      return "'\(path)': tensor \(tensor.inQuotes) is written twice or was not announced; "
        + "still to write: \(expected.listed("and"))"
    case .unwrittenTensors(let path, let tensors):
      return "'\(path)': these tensors were announced and not written: \(tensors.listed("and"))"
    }
  }
}
