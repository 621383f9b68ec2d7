// Everything that can be wrong with a `.npy` file, each with the facts to find it by.

/// A `.npy` file that cannot be read or written.
public enum NumPyError: FileWrappingError, Equatable, Sendable {
  /// The file system refused.
  case file(FileError)

  /// The first six bytes are not NumPy's magic string.
  case notNumPy(path: String, found: [UInt8])

  /// The format version is none of 1.0, 2.0 and 3.0.
  case unsupportedVersion(path: String, major: UInt8, minor: UInt8)

  /// The file ends inside its header.
  ///
  /// - Parameter expected: Bytes up to the end of the part of the header that was being read.
  case truncatedHeader(path: String, expected: Int, actual: Int)

  /// The header is longer than any array of plain numbers needs.
  case headerTooLong(path: String, length: Int, maximum: Int)

  /// The header is not the dictionary it should be.
  ///
  /// - Parameters:
  ///   - offset: Where in the file reading stopped.
  ///   - expected: What should stand there.
  ///   - header: The header's text.
  case malformedHeader(path: String, offset: Int, expected: String, header: String)

  /// The elements are of a type that no Swift type here stands for.
  case unsupportedElementType(path: String, descriptor: String)

  /// The elements are stored with the most significant byte first.
  case bigEndian(path: String, descriptor: String)

  /// The elements are stored column by column, and more than two dimensions are above 1.
  case fortranOrder(path: String, shape: [Int])

  /// The shape's elements, or their bytes, are more than an `Int` counts.
  case shapeOverflow(path: String, shape: [Int])

  /// The file's element type is not the one asked for.
  case elementType(path: String, expected: NumPyElementType, found: NumPyElementType)

  /// The array does not have as many dimensions as asked for.
  case rank(path: String, expected: Int, shape: [Int])

  /// The data after the header are shorter or longer than the shape says, in bytes.
  case dataSize(path: String, shape: [Int], expected: Int, actual: Int)

  /// The memory given does not hold as many elements as the shape says, or the shape has a
  /// negative dimension.
  case elementCount(path: String, shape: [Int], count: Int)
}

extension NumPyError: CustomStringConvertible {
  /// One line naming the path, the place, what was expected and what was found.
  public var description: String {
    switch self {
    case .file(let error):
      return error.description
    case .notNumPy(let path, let found):
      let bytes = found.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
      return "'\(path)' is not a .npy file: at offset 0, expected 93 4e 55 4d 50 59, "
        + "found \(bytes.isEmpty ? "nothing" : bytes.joined(separator: " "))"
    case .unsupportedVersion(let path, let major, let minor):
      return "'\(path)': at offset 6, expected .npy version 1.0, 2.0 or 3.0, "
        + "found \(major).\(minor)"
    case .truncatedHeader(let path, let expected, let actual):
      return "'\(path)' ends in its header: expected at least \(expected) bytes, found \(actual)"
    case .headerTooLong(let path, let length, let maximum):
      return "'\(path)': expected a header of at most \(maximum) bytes, found \(length)"
    case .malformedHeader(let path, let offset, let expected, let header):
      return "'\(path)': at offset \(offset), expected \(expected) in header \(header.inQuotes)"
    case .unsupportedElementType(let path, let descriptor):
      let known = NumPyElementType.allCases.map(\.description).joined(separator: ", ")
      return "'\(path)': expected elements of type \(known), found \(descriptor.inQuotes); save "
        + "array.astype of one of these"
    case .bigEndian(let path, let descriptor):
      return "'\(path)': expected little-endian elements, found \(descriptor.inQuotes); save "
        + "array.astype(array.dtype.newbyteorder('<'))"
    case .fortranOrder(let path, let shape):
      return "'\(path)': expected C order, or Fortran order of at most two dimensions above 1, "
        + "found Fortran order for shape \(shape); save numpy.ascontiguousarray(array)"
    case .shapeOverflow(let path, let shape):
      return "'\(path)': shape \(shape) holds more elements than can be addressed"
    case .elementType(let path, let expected, let found):
      return "'\(path)': expected elements of type \(expected), found \(found)"
    case .rank(let path, let expected, let shape):
      return "'\(path)': expected an array of rank \(expected), "
        + "found rank \(shape.count), shape \(shape)"
    case .dataSize(let path, let shape, let expected, let actual):
      return "'\(path)': expected \(expected) bytes of data for shape \(shape), found \(actual)"
    case .elementCount(let path, let shape, let count):
      return "'\(path)': shape \(shape) does not hold the \(count) elements given"
    }
  }
}
