// Bad `.npy` files: each fault gives its own error, with the path, the place, and what was expected
// and found. The texts are checked where a person reads them.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct NumPyErrorTests {
  /// A version 1.0 file with the given dictionary and data, unpadded.
  static func file(_ header: String, data: Int = 0) -> Data {
    var bytes: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 1, 0]
    bytes += [UInt8(header.utf8.count & 0xFF), UInt8(header.utf8.count >> 8)]
    return Data(bytes + Array(header.utf8) + [UInt8](repeating: 0, count: data))
  }

  /// The error that reading `data` as `Float` gives, and the path it was read from.
  static func error(reading data: Data) throws -> (error: NumPyError, path: String) {
    let folder = try TemporaryFolder()
    let path = folder.path("bad.npy")
    try data.write(to: URL(filePath: path))
    let error = try #require(throws: NumPyError.self) {
      _ = try NumPyArray<Float>(contentsOf: path)
    }
    return (error, path)
  }

  struct Malformed: Sendable, CustomTestStringConvertible {
    let header: String
    /// Where in the dictionary's text reading stops.
    let offset: Int
    let expected: String
    var testDescription: String { header }

    init(_ header: String, at offset: Int, _ expected: String) {
      self.header = header
      self.offset = offset
      self.expected = expected
    }
  }

  @Test(arguments: [
    Malformed("", at: 0, "'{'"),
    Malformed("[]", at: 0, "'{'"),
    Malformed("{", at: 1, "a key"),
    Malformed("{}", at: 2, "a key 'descr'"),
    Malformed("{'descr': '<f4', }", at: 18, "a key 'fortran_order'"),
    Malformed("{'descr': '<f4', 'fortran_order': False}", at: 40, "a key 'shape'"),
    Malformed("{'descr': '<f4", at: 10, "an element type with a closing quote"),
    Malformed("{'descr' '<f4'}", at: 9, "':'"),
    Malformed("{'descr': '<f4', 'descr': '<f4'}", at: 17, "once each"),
    Malformed("{'descr': '<f4', 'order': 1}", at: 17, "'descr', 'fortran_order' and 'shape'"),
    Malformed("{'fortran_order': 0}", at: 18, "True or False"),
    Malformed("{'shape': 3}", at: 10, "'('"),
    Malformed("{'shape': (3)}", at: 12, "a comma"),
    Malformed("{'shape': (3 4)}", at: 13, "a comma"),
    Malformed("{'shape': (3, -1)}", at: 14, "zero or more"),
    Malformed("{'shape': (,)}", at: 11, "zero or more"),
    Malformed("{'shape': (9223372036854775808,)}", at: 11, "64 bits"),
    Malformed("{'shape': (3,) 'descr': '<f4'}", at: 15, "'}'"),
    Malformed(
      "{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", at: 54, "nothing after"),
  ])
  func namesThePlaceInAMalformedHeader(_ malformed: Malformed) throws {
    let (error, path) = try Self.error(reading: Self.file(malformed.header))
    guard case .malformedHeader(path, let offset, let expected, malformed.header) = error else {
      Issue.record("an unexpected error: \(error)")
      return
    }
    #expect(offset == 10 + malformed.offset)
    #expect(expected.contains(malformed.expected))
    for fact in [path, "offset \(offset)", expected] {
      #expect(error.description.contains(fact))
    }
  }

  @Test func countsTheDataToTheByte() throws {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5)}"
    for actual in [0, 1, 59, 61, 1_000] {
      let (error, path) = try Self.error(reading: Self.file(header, data: actual))
      #expect(error == .dataSize(path: path, shape: [3, 5], expected: 60, actual: actual))
      #expect(
        error.description
          == "'\(path)': expected 60 bytes of data for shape [3, 5], found \(actual)")
    }
  }

  @Test(arguments: [
    [1 << 62, 4], [3_037_000_500, 3_037_000_500], [Int.max, 1], [1 << 61], [Int.max, Int.max, 0],
  ])
  func refusesShapesPastTheAddressSpace(shape: [Int]) throws {
    let text = shape.map { "\($0)," }.joined()
    let data = Self.file("{'descr': '<f4', 'fortran_order': False, 'shape': (\(text))}")
    let (error, path) = try Self.error(reading: data)
    #expect(error == .shapeOverflow(path: path, shape: shape))
    #expect(error.description.contains("\(shape)"))
  }

  @Test func refusesAHugeShapeBeforeItAllocates() throws {
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000000)}"
    let (error, path) = try Self.error(reading: Self.file(header))
    let shape = [1_000_000_000, 1_000_000_000]
    #expect(
      error == .dataSize(path: path, shape: shape, expected: 4_000_000_000_000_000_000, actual: 0))
  }

  @Test func tellsAFileOfAnotherKind() throws {
    let (zip, path) = try Self.error(reading: Data("PK\u{3}\u{4}more".utf8))
    #expect(zip == .notNumPy(path: path, found: [0x50, 0x4B, 3, 4, 0x6D, 0x6F]))
    #expect(zip.description.contains("expected 93 4e 55 4d 50 59, found 50 4b 03 04 6d 6f"))
    let (empty, emptyPath) = try Self.error(reading: Data())
    #expect(empty == .notNumPy(path: emptyPath, found: []))
  }

  @Test func tellsAnotherVersionAndAnEndlessHeader() throws {
    var data = Self.file("{}")
    data[6] = 4
    let (version, path) = try Self.error(reading: data)
    #expect(version == .unsupportedVersion(path: path, major: 4, minor: 0))
    #expect(version.description.contains("offset 6") && version.description.contains("4.0"))

    let long = Data(data.prefix(6) + [2, 0, 0xFF, 0xFF, 0xFF, 0xFF])
    let (length, longPath) = try Self.error(reading: long)
    #expect(
      length == .headerTooLong(path: longPath, length: 4_294_967_295, maximum: 65_536))
  }

  @Test func comparesTypeAndRankWithWhatWasAsked() throws {
    let path = NumPyFixtures.path("float32-matrix.npy")
    let type = try #require(throws: NumPyError.self) {
      _ = try NumPyArray<Int64>(contentsOf: path)
    }
    #expect(type == .elementType(path: path, expected: .int64, found: .float32))
    #expect(type.description == "'\(path)': expected elements of type int64, found float32")

    let narrowing = try #require(throws: NumPyError.self) {
      _ = try NumPyArray<Float>(contentsOf: NumPyFixtures.path("float64-matrix.npy"))
    }
    #expect(narrowing.description.contains("expected elements of type float32, found float64"))

    let rank = try #require(throws: NumPyError.self) {
      _ = try NumPyArray<Float>(contentsOf: path, rank: 3)
    }
    #expect(rank == .rank(path: path, expected: 3, shape: [3, 5]))
    #expect(rank.description.contains("expected an array of rank 3, found rank 2, shape [3, 5]"))
  }

  @Test func leavesTheCallersMemoryAloneWhereSizesDiffer() throws {
    let path = NumPyFixtures.path("float32-matrix.npy")
    var elements = [Float](repeating: -1, count: 14)
    let error = try #require(throws: NumPyError.self) {
      var span = elements.mutableSpan
      try NumPyFile.read(path, into: &span)
    }
    #expect(error == .elementCount(path: path, shape: [3, 5], count: 14))
    #expect(error.description.contains("shape [3, 5] does not hold the 14 elements"))
    #expect(elements.allSatisfy { $0 == -1 })
  }

  @Test(arguments: [[3], [], [2, -1], [-1, -2], [0]])
  func refusesToWriteAShapeThatDoesNotHoldTheElements(shape: [Int]) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("a.npy")
    let error = try #require(throws: NumPyError.self) {
      try NumPyFile.write([1 as Float, 2].span, shape: shape, to: path)
    }
    #expect(error == .elementCount(path: path, shape: shape, count: 2))
    #expect(try folder.contents.isEmpty)
  }

  @Test func refusesToWriteAShapeThatOverflowsOrAHeaderTooLong() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("a.npy")
    let overflow = try #require(throws: NumPyError.self) {
      try NumPyFile.write([1 as Float].span, shape: [Int.max, 2], to: path)
    }
    #expect(overflow == .shapeOverflow(path: path, shape: [Int.max, 2]))
    let long = try #require(throws: NumPyError.self) {
      try NumPyFile.write(
        [1 as Float].span, shape: [Int](repeating: 1, count: 30_000), to: path)
    }
    guard case .headerTooLong(path, let length, 65_535) = long else {
      Issue.record("an unexpected error: \(long)")
      return
    }
    #expect(length > 65_535)
    #expect(try folder.contents.isEmpty)
  }

  @Test func namesThePathThatTheSystemRefuses() throws {
    let folder = try TemporaryFolder()
    let missing = folder.path("missing.npy")
    let absent = try #require(throws: NumPyError.self) { try NumPyHeader(contentsOf: missing) }
    #expect(absent == .file(.system(operation: "open", path: missing, code: ENOENT)))
    #expect(absent.description == "cannot open '\(missing)': No such file or directory")

    let directory = folder.url.path
    let unreadable = try #require(throws: NumPyError.self) {
      try NumPyHeader(contentsOf: directory)
    }
    #expect(unreadable == .file(.notRegularFile(path: directory)))
    #expect(unreadable.description == "'\(directory)' is not a regular file")

    let zero = try #require(throws: NumPyError.self) { try NumPyHeader(contentsOf: "a\0b") }
    #expect(zero == .file(.system(operation: "open", path: "a\0b", code: EINVAL)))

    let nowhere = folder.path("no/such.npy")
    let unwritable = try #require(throws: NumPyError.self) {
      try NumPyFile.write([1 as Float].span, shape: [1], to: nowhere)
    }
    #expect(unwritable == .file(.system(operation: "create", path: nowhere, code: ENOENT)))
  }
}
