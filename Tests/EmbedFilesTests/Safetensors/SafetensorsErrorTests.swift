// Every way in which a safetensors file can be wrong gives the error that says so.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct SafetensorsErrorTests {
  struct Case: Sendable, CustomStringConvertible {
    let header: String
    let data: Int
    let error: @Sendable (String) -> SafetensorsError
    init(
      _ header: String, _ data: Int, _ error: @escaping @Sendable (String) -> SafetensorsError
    ) {
      (self.header, self.data, self.error) = (header, data, error)
    }
    var description: String { header }
  }

  static func tensor(_ name: String, _ type: String, _ shape: String, _ offsets: String) -> String {
    "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":[\(shape)],\"data_offsets\":[\(offsets)]}"
  }

  static func malformed(_ offset: Int, _ expected: String) -> @Sendable (String) -> SafetensorsError
  {
    { .malformedHeader(path: $0, offset: offset, expected: expected) }
  }

  static let cases: [Case] = [
    // Shapes, offsets, data.
    Case("{\(tensor("a", "F32", "2", "0,8")),\(tensor("b", "F32", "2", "4,12"))}", 12) {
      .overlap(path: $0, tensor: "b", start: 4, previousEnd: 8)
    },
    Case("{\(tensor("a", "F32", "2", "0,8")),\(tensor("b", "F32", "2", "0,8"))}", 8) {
      let error = SafetensorsError.overlap(path: $0, tensor: "b", start: 0, previousEnd: 8)
      return error
    },
    Case("{\(tensor("a", "F32", "2", "0,8")),\(tensor("b", "F32", "2", "12,20"))}", 20) {
      .hole(path: $0, tensor: "b", start: 12, previousEnd: 8)
    },
    Case("{\(tensor("a", "F32", "2", "4,12"))}", 12) {
      .hole(path: $0, tensor: "a", start: 4, previousEnd: 0)
    },
    Case("{\(tensor("a", "F32", "2", "0,8"))}", 9) { .dataSize(path: $0, expected: 8, actual: 9) },
    Case("{\(tensor("a", "F32", "2", "0,8"))}", 7) { .dataSize(path: $0, expected: 8, actual: 7) },
    Case("{}", 1) { .dataSize(path: $0, expected: 0, actual: 1) },
    Case("{\(tensor("a", "F32", "3", "0,8"))}", 8) {
      .byteCount(path: $0, tensor: "a", shape: [3], expected: 12, actual: 8)
    },
    Case("{\(tensor("a", "F32", "2", "8,0"))}", 8) {
      .fallingOffsets(path: $0, tensor: "a", start: 8, end: 0)
    },
    Case("{\(tensor("a", "F32", "4294967296,4294967296", "0,8"))}", 8) {
      .shapeOverflow(path: $0, tensor: "a", shape: [4_294_967_296, 4_294_967_296])
    },
    Case("{\(tensor("a", "F64", "2305843009213693952", "0,8"))}", 8) {
      .shapeOverflow(path: $0, tensor: "a", shape: [2_305_843_009_213_693_952])
    },
    Case("{\(tensor("a", "U8", "9223372036854775807", "0,9223372036854775807"))}", 8) {
      .dataSize(path: $0, expected: .max, actual: 8)
    },
    // Names and types.
    Case("{\(tensor("a", "F32", "1", "0,4")),\(tensor("a", "F32", "1", "4,8"))}", 8) {
      .duplicateName(path: $0, name: "a")
    },
    Case("{\(tensor("a", "F32", "1", "0,4")),\(tensor("\\u0061", "F32", "1", "4,8"))}", 8) {
      .duplicateName(path: $0, name: "a")
    },
    Case("{\"__metadata__\":{\"k\":\"v\",\"k\":\"w\"}}", 0) { .duplicateName(path: $0, name: "k") },
    Case("{\"__metadata__\":{},\"__metadata__\":{}}", 0) {
      .duplicateName(path: $0, name: "__metadata__")
    },
    Case("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4) {
      .duplicateName(path: $0, name: "dtype")
    },
    Case("{\(tensor("a", "F4", "3", "0,2"))}", 2) {
      .shape(
        path: $0, tensor: "a", expected: "of elements of 4 bits that fill whole bytes", found: [3])
    },
    Case("{\(tensor("a", "new", "3", "0,2")),\(tensor("b", "U8", "1", "3,4"))}", 4) {
      .hole(path: $0, tensor: "b", start: 3, previousEnd: 2)
    },
    Case("{\(tensor("a", "new", "4294967296,4294967296", "0,2"))}", 2) {
      .shapeOverflow(path: $0, tensor: "a", shape: [4_294_967_296, 4_294_967_296])
    },
    // JSON.
    Case("", 0, malformed(8, "'{'")),
    Case(" []", 0, malformed(9, "'{'")),
    Case("[]", 0, malformed(8, "'{'")),
    Case("{", 0, malformed(9, "a key in quotes")),
    Case("{}x", 0, malformed(10, "nothing but spaces after the object")),
    Case("{\"a\"}", 0, malformed(12, "':'")),
    Case("{\"a\":{}}", 0, malformed(15, "a 'dtype' before this")),
    Case("{\"a\":{\"dtype\":\"F32\"}}", 0, malformed(28, "a 'shape' before this")),
    Case(
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, malformed(39, "'data_offsets' before this")),
    Case("{\"a\":{\"kind\":1}}", 0, malformed(23, "a 'dtype' before this")),
    Case("{\"a\":{\"kind\":01}}", 0, malformed(21, "a value")),
    Case("{\"a\":{\"kind\":[1}}", 0, malformed(23, "']'")),
    Case("{\"a\":{\"data_offsets\":[0]}}", 0, malformed(32, "two offsets before this")),
    Case("{\"a\":{\"shape\":[-1]}}", 0, malformed(23, "a number of zero or more")),
    Case("{\"a\":{\"shape\":[01]}}", 0, malformed(23, "a number without leading zeros")),
    Case("{\"a\":{\"shape\":[1.0]}}", 0, malformed(24, "']'")),
    Case(
      "{\"a\":{\"shape\":[9223372036854775808]}}", 0,
      malformed(23, "a number that fits in 63 bits")),
    Case("{\"__metadata__\":{\"k\":1}}", 0, malformed(29, "a string in quotes")),
    Case("{\"a", 0, malformed(11, "a key with a closing quote")),
    Case("{\"\\ud800\":{}}", 0, malformed(16, "no unpaired surrogate")),
    Case("{\"\\ud800\\u0041\":{}}", 0, malformed(22, "a low surrogate before this")),
    Case("{\"\\x\":{}}", 0, malformed(11, "a known escape")),
    Case("{\"\\u00g0\":{}}", 0, malformed(14, "four hexadecimal digits")),
    Case("{\"\u{1}\":{}}", 0, malformed(10, "no control character")),
  ]

  @Test(arguments: cases)
  func saysWhatIsWrong(_ wrong: Case) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("wrong.safetensors")
    try SafetensorsFixtures.write(wrong.header, data: wrong.data, to: path)
    for access in [FileAccess.copied, .mapped] {
      let error = try #require(throws: SafetensorsError.self) {
        _ = try Safetensors(contentsOf: path, access: access)
      }
      #expect(error == wrong.error(path))
      #expect(error.description.contains(path))
    }
  }

  @Test func refusesTextThatIsNotUTF8() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("wrong.safetensors")
    try SafetensorsFixtures.write(
      Array("{\"a".utf8) + [0xFF] + Array("\":{}}".utf8), data: 0, to: path)
    #expect(
      throws: SafetensorsError.malformedHeader(path: path, offset: 10, expected: "a key in UTF-8")
    ) { try SafetensorsHeader(contentsOf: path) }
  }

  @Test func refusesHostileLengths() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("long.safetensors")
    for (length, error) in [
      (UInt64.max, SafetensorsError.headerTooLong(path: path, length: .max, maximum: 100_000_000)),
      (1 << 63, .headerTooLong(path: path, length: 1 << 63, maximum: 100_000_000)),
      (100_000_001, .headerTooLong(path: path, length: 100_000_001, maximum: 100_000_000)),
      (100_000_000, .truncatedHeader(path: path, expected: 100_000_008, actual: 10)),
      (3, .truncatedHeader(path: path, expected: 11, actual: 10)),
    ] {
      let bytes = (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
      try Data(bytes + Array("{}".utf8)).write(to: URL(filePath: path))
      #expect(throws: error) { try SafetensorsHeader(contentsOf: path) }
    }
    #expect(
      throws: SafetensorsError.file(
        .system(operation: "open", path: folder.path("none"), code: ENOENT))
    ) { try SafetensorsHeader(contentsOf: folder.path("none")) }
  }

  @Test func namesTheTensorsThereAre() throws {
    let path = SafetensorsFixtures.path("loose.safetensors")
    let file = try Safetensors(contentsOf: path)
    #expect(
      throws: SafetensorsError.missingTensor(path: path, expected: ["x"], found: ["a", "b\u{E9}"])
    ) { _ = try file.elements(of: "x", as: Float.self) }
    // The same letter composed otherwise is another name.
    #expect(throws: SafetensorsError.self) { _ = try file.bytes(of: "be\u{301}") }
    #expect(
      throws: SafetensorsError.elementType(path: path, tensor: "a", expected: "F32", found: .uint8)
    ) { _ = try file.elements(of: "a", as: Float.self) }
  }

  @Test func theWriterKeepsToWhatWasAnnounced() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("w.safetensors")
    try Data("old".utf8).write(to: URL(filePath: path))
    func start(_ tensors: [SafetensorsTensor]) throws -> SafetensorsError {
      try #require(throws: SafetensorsError.self) {
        _ = try SafetensorsWriter(path, tensors: tensors)
      }
    }
    let a = SafetensorsTensor("a", .float32, shape: [2])
    #expect(try start([a, a]) == .duplicateName(path: path, name: "a"))
    #expect(
      try start([.init("__metadata__", .float32, shape: [1])])
        == .duplicateName(path: path, name: "__metadata__"))
    for shape in [[-1], [.max, 2], [.max / 4], [.max / 8, 1]] {
      #expect(
        try start([a, .init("b", .float32, shape: shape), .init("c", .float32, shape: shape)])
          == .shapeOverflow(path: path, tensor: shape == [.max / 8, 1] ? "c" : "b", shape: shape))
    }

    var writer = try SafetensorsWriter(path, tensors: [a, .init("i", .int64, shape: [1])])
    let (floats, ids) = ([1, 2] as [Float], [3] as [Int64])
    func fails(
      _ writer: inout SafetensorsWriter, _ expected: SafetensorsError,
      _ body: (inout SafetensorsWriter) throws -> Void
    ) {
      do {
        try body(&writer)
        Issue.record("nothing thrown instead of \(expected)")
      } catch {
        #expect(error as? SafetensorsError == expected)
      }
    }
    fails(&writer, .elementType(path: path, tensor: "i", expected: "F32", found: .int64)) {
      try $0.write("i", floats.span)
    }
    fails(&writer, .elementCount(path: path, tensor: "a", shape: [2], count: 1)) {
      try $0.write("a", floats.span.extracting(first: 1))
    }
    fails(
      &writer, .elementType(path: path, tensor: "i", expected: "F32, F16 or BF16", found: .int64)
    ) {
      try $0.write("i", rounding: floats.span)
    }
    fails(&writer, .unexpectedTensor(path: path, tensor: "x", expected: ["i", "a"])) {
      try $0.write("x", floats.span)
    }
    try writer.write("i", ids.span)
    fails(&writer, .unexpectedTensor(path: path, tensor: "i", expected: ["a"])) {
      try $0.write("i", ids.span)
    }
    do {
      try writer.commit()
      Issue.record("a file without one of its tensors was taken for whole")
    } catch {
      #expect(error == .unwrittenTensors(path: path, tensors: ["a"]))
    }
    #expect(try Data(contentsOf: URL(filePath: path)) == Data("old".utf8))
    #expect(try folder.contents == ["w.safetensors"])
  }
}
