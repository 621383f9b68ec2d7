// `.npy` files against NumPy's own: each fixture is read, and written again byte for byte.
//
// The fixtures and their index come from scripts/reference/make_npy_fixtures.py, whose rule for
// element i is i * 3 - 4, as NumPy casts it to the element type.

import EmbedFiles
import Foundation
import TestSupport
import Testing

/// The files NumPy made, as their index lists them.
enum NumPyFixtures {
  struct Accepted: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let type: String
    let shape: [Int]
    var testDescription: String { name }
  }

  struct Refused: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let reason: String
    var testDescription: String { name }
  }

  private struct Index: Decodable {
    let accepted: [Accepted]
    let refused: [Refused]
  }

  static let folder = Fixtures.folder.appending(path: "npy")

  private static func index() throws -> Index {
    let data = try Data(contentsOf: folder.appending(path: "index.json"))
    return try JSONDecoder().decode(Index.self, from: data)
  }

  static func accepted() throws -> [Accepted] { try index().accepted }
  static func refused() throws -> [Refused] { try index().refused }
  static func path(_ name: String) -> String { folder.appending(path: name).path }
}

@Suite struct NumPyFileTests {
  @Test(arguments: try NumPyFixtures.accepted(), [FileAccess.copied, .mapped])
  func readsWhatNumPyWrote(file: NumPyFixtures.Accepted, access: FileAccess) throws {
    switch file.type {
    case "float32": try check(file, access) { Float($0) }
    case "float64": try check(file, access) { Double($0) }
    case "int32": try check(file, access) { Int32($0) }
    case "int64": try check(file, access) { Int64($0) }
    case "uint8": try check(file, access) { UInt8(truncatingIfNeeded: $0) }
    case "bool": try check(file, access) { $0 == 0 ? UInt8(0) : 1 }
    case "float16": try check(file, access) { Half(Float($0)) }
    case "bfloat16": try check(file, access) { BFloat16(Float($0)) }
    case "int8": try check(file, access) { Int8(truncatingIfNeeded: $0) }
    case "int16": try check(file, access) { Int16($0) }
    case "uint16": try check(file, access) { UInt16(truncatingIfNeeded: $0) }
    case "uint32": try check(file, access) { UInt32(truncatingIfNeeded: $0) }
    case "uint64": try check(file, access) { UInt64(truncatingIfNeeded: $0) }
    default: Issue.record("the index names an unknown type \(file.type)")
    }
  }

  private func check<Element: FileElement & Equatable>(
    _ file: NumPyFixtures.Accepted, _ access: FileAccess, _ value: (Int) -> Element
  ) throws {
    let path = NumPyFixtures.path(file.name)
    let count = file.shape.reduce(1, *)
    let expected = (0..<count).map { value($0 * 3 - 4) }

    let header = try NumPyHeader(contentsOf: path)
    #expect(header.elementType.description == file.type)
    #expect(header.shape == file.shape)
    #expect(header.count == count)

    let array = try NumPyArray<Element>(contentsOf: path, rank: file.shape.count, access: access)
    let arrayShape = array.shape
    let elements = unsafe array.withUnsafeBufferPointer { unsafe Array($0) }
    let spanned = array.span.indices.map { array.span[$0] }
    #expect(arrayShape == file.shape)
    #expect(elements == expected)
    #expect(spanned == expected)

    var owned = [Element](repeating: value(0), count: count)
    var span = owned.mutableSpan
    let shape = try NumPyFile.read(path, into: &span)
    #expect(shape == file.shape)
    #expect(owned == expected)
  }

  @Test(arguments: try NumPyFixtures.refused())
  func refusesWhatItCannotStandFor(file: NumPyFixtures.Refused) throws {
    let path = NumPyFixtures.path(file.name)
    let error = try #require(throws: NumPyError.self) { try NumPyHeader(contentsOf: path) }
    switch error {
    case .fortranOrder(path, shape: [3, 5, 2]):
      #expect(file.reason == "fortranOrder")
      #expect(error.description.contains("numpy.ascontiguousarray"))
    case .bigEndian(path, let descriptor):
      #expect(file.reason == "bigEndian" && [">f4", ">i8"].contains(descriptor))
      #expect(error.description.contains("newbyteorder('<')"))
    case .unsupportedElementType(path, let descriptor):
      #expect(file.reason == "unsupportedElementType")
      #expect(error.description.contains(descriptor.prefix(10)))
    default: Issue.record("an unexpected error: \(error)")
    }
    #expect(error.description.contains(path))
  }

  /// The files that NumPy wrote in the plain form, which the writer must equal to the byte.
  static func plain() throws -> [NumPyFixtures.Accepted] {
    try NumPyFixtures.accepted().filter {
      $0.type != "bool" && $0.name.split(separator: "-").count == 2
    }
  }

  @Test(arguments: try plain())
  func writesTheBytesThatNumPyWrites(file: NumPyFixtures.Accepted) throws {
    switch file.type {
    case "float32": try checkWriting(file, of: Float.self)
    case "float64": try checkWriting(file, of: Double.self)
    case "int32": try checkWriting(file, of: Int32.self)
    case "int64": try checkWriting(file, of: Int64.self)
    case "uint8": try checkWriting(file, of: UInt8.self)
    case "float16": try checkWriting(file, of: Half.self)
    case "bfloat16": try checkWriting(file, of: BFloat16.self)
    case "int8": try checkWriting(file, of: Int8.self)
    case "int16": try checkWriting(file, of: Int16.self)
    case "uint16": try checkWriting(file, of: UInt16.self)
    case "uint32": try checkWriting(file, of: UInt32.self)
    case "uint64": try checkWriting(file, of: UInt64.self)
    default: Issue.record("the index names an unknown type \(file.type)")
    }
  }

  private func checkWriting<Element: FileElement>(
    _ file: NumPyFixtures.Accepted, of type: Element.Type
  ) throws {
    let folder = try TemporaryFolder()
    let array = try NumPyArray<Element>(contentsOf: NumPyFixtures.path(file.name))
    try NumPyFile.write(array.span, shape: array.shape, to: folder.path("span.npy"))
    try unsafe array.withUnsafeBufferPointer {
      try unsafe NumPyFile.write($0, shape: file.shape, to: folder.path("pointer.npy"))
    }
    let expected = try Data(contentsOf: URL(filePath: NumPyFixtures.path(file.name)))
    for name in ["span.npy", "pointer.npy"] {
      #expect(try Data(contentsOf: URL(filePath: folder.path(name))) == expected)
    }
    #expect(try folder.contents == ["pointer.npy", "span.npy"])
  }

  @Test(arguments: ["float16-matrix.npy", "bfloat16-fortran-2x3.npy", "float32-fortran-3x5.npy"])
  func widensSixteenBits(name: String) throws {
    let path = NumPyFixtures.path(name)
    let shape = try NumPyHeader(contentsOf: path).shape
    var floats = [Float](repeating: .nan, count: shape[0] * shape[1])
    var span = floats.mutableSpan
    #expect(try NumPyFile.read(path, rank: 2, widenedInto: &span) == shape)
    #expect(floats == floats.indices.map { Float($0 * 3 - 4) })
    // Doubles would have to be rounded.
    #expect(throws: NumPyError.self) {
      var few = [Float](repeating: 0, count: 15)
      var span = few.mutableSpan
      try NumPyFile.read(
        NumPyFixtures.path("float64-matrix.npy"), widenedInto: &span)
    }
  }

  /// More than one block of columns, and a last one that is not full.
  @Test func transposesALargeMatrix() throws {
    let folder = try TemporaryFolder()
    let (rows, columns) = (70_000, 37)
    let path = folder.path("fortran.npy")
    // Element [r, c] is r * 37 + c, columns one after another.
    var bytes = NumPyErrorTests.file(
      "{'descr': '<i4', 'fortran_order': True, 'shape': (\(rows), \(columns))}")
    for column in 0..<columns {
      let values = (0..<rows).map { Int32($0 * columns + column) }
      unsafe values.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
    }
    try bytes.write(to: URL(filePath: path))
    #expect(try NumPyHeader(contentsOf: path).isTransposed)
    for access in [FileAccess.copied, .mapped] {
      let array = try NumPyArray<Int32>(contentsOf: path, rank: 2, access: access)
      let span = array.span
      #expect(span.indices.allSatisfy { span[$0] == Int32($0) })
    }
  }

  @Test func alignsLargeArraysToPages() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("large.npy")
    let elements = (0..<1_000_000).map { Float($0) }
    try NumPyFile.write(elements.span, shape: [1_000, 1_000], to: path)
    for access in [FileAccess.copied, .mapped] {
      let array = try NumPyArray<Float>(contentsOf: path, access: access)
      let (remainder, equal) = unsafe array.withUnsafeBufferPointer {
        unsafe (Int(bitPattern: $0.baseAddress) % 64, $0.elementsEqual(elements))
      }
      #expect(remainder == 0)
      #expect(equal)
    }
  }

  @Test func replacesAFileAndKeepsItsPermissions() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("a.npy")
    let manager = FileManager.default
    try NumPyFile.write([1 as Float, 2].span, shape: [2], to: path)
    try manager.setAttributes([.posixPermissions: 0o640], ofItemAtPath: path)
    try NumPyFile.write([3 as Int32].span, shape: [1, 1], to: path)
    #expect(try NumPyHeader(contentsOf: path).shape == [1, 1])
    let permissions = try manager.attributesOfItem(atPath: path)[.posixPermissions]
    #expect(permissions as? Int == 0o640)
    #expect(try folder.contents == ["a.npy"])
  }

  @Test func writesThroughALinkAndLeavesItALink() throws {
    let folder = try TemporaryFolder()
    try NumPyFile.write([0 as Float].span, shape: [1], to: folder.path("target.npy"))
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("link.npy"), withDestinationPath: "target.npy")
    try NumPyFile.write([5 as Float, 6].span, shape: [2], to: folder.path("link.npy"))
    #expect(try NumPyHeader(contentsOf: folder.path("target.npy")).shape == [2])
    let target = try FileManager.default.destinationOfSymbolicLink(atPath: folder.path("link.npy"))
    #expect(target == "target.npy")
  }
}
