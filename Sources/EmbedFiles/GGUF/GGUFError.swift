// Everything that can be wrong with a GGUF file, each with the facts to find it by.

/// A GGUF file that cannot be read or written.
public enum GGUFError: FileWrappingError, Equatable, Sendable {
  /// The file system refused.
  case file(FileError)

  /// The file does not begin as a GGUF file.
  case notGGUF(path: String, found: [UInt8])

  /// The file's numbers have their highest byte first.
  case bigEndian(path: String)

  /// The file is of a version of the format that is not read.
  case version(path: String, found: UInt32)

  /// The file ends before something that its header goes on with.
  ///
  /// - Parameters:
  ///   - offset: Where in the file it should stand.
  ///   - what: What it is.
  case truncated(path: String, offset: Int, what: String, needed: Int, left: Int)

  /// The header announces more than the rest of the file can hold.
  case count(path: String, offset: Int, what: String, found: UInt64, left: Int)

  /// Something in the header is not what it should be.
  case malformed(path: String, offset: Int, what: String, expected: String, found: String)

  /// A name stands for two tensors, or a key for two values.
  case duplicateName(path: String, name: String)

  /// The tensor is of a type that is not known.
  case unknownType(path: String, offset: Int, tensor: String, code: UInt32)

  /// The shape's elements, or their bytes, are more than an `Int` counts.
  case shapeOverflow(path: String, tensor: String, shape: [Int])

  /// The tensor does not begin at a multiple of the file's alignment.
  case misaligned(path: String, tensor: String, start: UInt64, alignment: Int)

  /// The tensor does not end in the file; `available` are the bytes after the header.
  case outside(path: String, tensor: String, start: UInt64, byteCount: Int, available: Int)

  /// The tensor begins inside another one.
  case overlap(path: String, tensor: String, start: Int, other: String, otherEnd: Int)

  /// No tensor has any of the names looked for.
  case missingTensor(path: String, expected: [String], found: [String])

  /// The tensor's elements are of another type than asked for.
  case elementType(path: String, tensor: String, expected: String, found: String)

  /// The tensor is not of the shape that its use needs.
  case shape(path: String, tensor: String, expected: String, found: [Int])

  /// The tensor's bytes are more or fewer than its shape and type need.
  case byteCount(path: String, tensor: String, shape: [Int], expected: Int, actual: Int)

  /// A tensor was written twice, or is not among those announced.
  case unexpectedTensor(path: String, tensor: String, expected: [String])

  /// Some of the tensors announced were not written.
  case unwrittenTensors(path: String, tensors: [String])
}

extension GGUFError: CustomStringConvertible {
  /// One line naming the path, the place, what was expected and what was found.
  public var description: String {
    switch self {
    case .file(let error):
      return error.description
    case .notGGUF(let path, let found):
      return "'\(path)' is no GGUF file: expected the bytes \"GGUF\" at its start, found "
        + (found.isEmpty ? "none" : "\(found)")
    case .bigEndian(let path):
      return "'\(path)' is a big-endian GGUF file; little-endian ones are read"
    case .version(let path, let found):
      return "'\(path)': expected version 2 or 3 of GGUF, found \(found)"
    case .truncated(let path, let offset, let what, let needed, let left):
      return "'\(path)': at offset \(offset), \(what): expected \(needed) bytes, but the file ends "
        + "after \(left)"
    case .count(let path, let offset, let what, let found, let left):
      return
        "'\(path)': at offset \(offset), \(what): \(found) do not fit in the \(left) bytes that "
        + "are left of the file"
    case .malformed(let path, let offset, let what, let expected, let found):
      return "'\(path)': at offset \(offset), \(what): expected \(expected), found \(found)"
    case .duplicateName(let path, let name):
      return "'\(path)': the name \(name.inQuotes) is given twice"
    case .unknownType(let path, let offset, let tensor, let code):
      return
        "'\(path)': at offset \(offset), tensor \(tensor.inQuotes) is of type \(code), which is not "
        + "known"
    case .shapeOverflow(let path, let tensor, let shape):
      return "'\(path)': tensor \(tensor.inQuotes): shape \(shape) holds more elements than can be "
        + "addressed"
    case .misaligned(let path, let tensor, let start, let alignment):
      return "'\(path)': tensor \(tensor.inQuotes) begins at \(start), which is no multiple of the "
        + "file's alignment, \(alignment)"
    case .outside(let path, let tensor, let start, let byteCount, let available):
      return
        "'\(path)': tensor \(tensor.inQuotes) has \(byteCount) bytes from \(start) on, but the file "
        + "has \(available) bytes of data"
    case .overlap(let path, let tensor, let start, let other, let otherEnd):
      return
        "'\(path)': tensor \(tensor.inQuotes) begins at \(start), inside \(other.inQuotes), which "
        + "ends at \(otherEnd)"
    case .missingTensor(let path, let expected, let found):
      return "'\(path)': expected a tensor named \(expected.listed("or")), found "
        + found.nearest(to: expected)
    case .elementType(let path, let tensor, let expected, let found):
      return
        "'\(path)': tensor \(tensor.inQuotes): expected elements of type \(expected), found \(found)"
    case .shape(let path, let tensor, let expected, let found):
      return "'\(path)': tensor \(tensor.inQuotes): expected shape \(expected), found \(found)"
    case .byteCount(let path, let tensor, let shape, let expected, let actual):
      return "'\(path)': tensor \(tensor.inQuotes): expected \(expected) bytes for shape \(shape), "
        + "found \(actual)"
    case .unexpectedTensor(let path, let tensor, let expected):
      return "'\(path)': tensor \(tensor.inQuotes) is written twice or was not announced; "
        + "still to write: \(expected.listed("and"))"
    case .unwrittenTensors(let path, let tensors):
      return "'\(path)': these tensors were announced and not written: \(tensors.listed("and"))"
    }
  }
}
