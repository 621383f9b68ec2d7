// Headers that are wrong in one place each: the error says which. Nothing is taken for what a header only
// claims.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct GGUFErrorTests {
  /// A file, and what the error must tell.
  struct Case: Sendable, CustomStringConvertible {
    let description: String
    let file: HandMadeGGUF
    let told: [String]

    init(
      _ description: String, _ told: String..., change: (inout HandMadeGGUF) -> Void
    ) {
      self.description = description
      var file = HandMadeGGUF(tensors: [HandMadeGGUF.tensor("t", [2, 2])], data: 16)
      change(&file)
      self.file = file
      self.told = told
    }
  }

  private static func tensor(
    _ name: String, _ dimensions: [UInt64], _ type: UInt32, _ start: UInt64
  ) -> [UInt8] { HandMadeGGUF.tensor(name, dimensions, type: type, start: start) }

  private static func key(_ name: String, _ type: UInt32, _ value: [UInt8]) -> [UInt8] {
    HandMadeGGUF.key(name, type, value)
  }

  private static func array(
    _ type: UInt32, _ count: UInt64, _ elements: [UInt8] = []
  ) -> [UInt8] { HandMadeGGUF.array(type, count, elements) }

  static let cases: [Case] = [
    Case("magic", "no GGUF file", "[71, 71, 77, 76]") { $0.magic = Array("GGML".utf8) },
    Case("big-endian", "big-endian") { $0.version = 3 << 24 },
    Case("version 1", "version 2 or 3", "found 1") { $0.version = 1 },
    Case("version 4", "version 2 or 3", "found 4") { $0.version = 4 },
    Case("no version", "found 0") { $0.version = 0 },
    Case("tensors", "at offset 8", "\(1 << 60 as UInt64) do not fit") { $0.tensorCount = 1 << 60 },
    Case("keys", "at offset 16", "\(UInt64.max) do not fit") { $0.keyCount = .max },
    Case("one key too many", "the file ends") {
      $0.tensors = []
      $0.data = 0
      $0.keys = [key("k", 4, bytesOf(1 as UInt32))]
      $0.keyCount = 1
      $0.tensorCount = 0
      $0.keys[0].removeLast()
    },
    Case("key's length", "key 0, its bytes", "do not fit") {
      $0.keys = [HandMadeGGUF.joined(bytesOf(UInt64.max), [UInt8](repeating: 0, count: 40))]
    },
    Case("key that is no text", "key 0", "a text in UTF-8") {
      $0.keys = [
        HandMadeGGUF.joined(bytesOf(2 as UInt64), [0xFF, 0xFE], bytesOf(0 as UInt32), [1])
      ]
    },
    Case("type of a value", "\"k\"", "a type of values, 0 to 12", "found 13") {
      $0.keys = [key("k", 13, [0])]
    },
    Case("truth value", "\"k\"", "0 or 1", "found 2") { $0.keys = [key("k", 7, [2])] },
    Case("truth value in an array", "\"k\"", "0 or 1", "found 3") {
      $0.keys = [key("k", 9, array(7, 3, [0, 1, 3]))]
    },
    Case("elements of an array", "its elements", "\(1 << 61 as UInt64) do not fit") {
      $0.keys = [key("k", 9, array(10, 1 << 61))]
    },
    Case("texts of an array", "its elements", "9999 do not fit") {
      $0.keys = [key("k", 9, array(8, 9999))]
    },
    Case("text in an array", "text 1, its bytes", "do not fit") {
      $0.keys = [
        key(
          "k", 9,
          array(8, 2, HandMadeGGUF.joined(HandMadeGGUF.text("a"), bytesOf(1 << 40 as UInt64))))
      ]
    },
    Case("levels of arrays", "at most 8 levels") {
      var nested = array(0, 0)
      for _ in 0..<200 { nested = array(9, 1, nested) }
      $0.keys = [key("k", 9, nested)]
    },
    Case("key twice", "\"k\" is given twice") {
      $0.keys = [key("k", 0, [1]), key("k", 0, [1])]
    },
    Case("alignment of 0", "general.alignment", "a power of two") {
      $0.keys = [key("general.alignment", 4, bytesOf(0 as UInt32))]
    },
    Case("alignment of 24", "general.alignment", "a power of two") {
      $0.keys = [key("general.alignment", 4, bytesOf(24 as UInt32))]
    },
    Case("alignment of another type", "general.alignment", "as uint32") {
      $0.keys = [key("general.alignment", 10, bytesOf(32 as UInt64))]
    },
    Case("alignment past the file", "has 16 bytes from 0 on", "0 bytes of data") {
      $0.keys = [key("general.alignment", 4, bytesOf(1 << 31 as UInt32))]
    },
    Case("tensor twice", "\"t\" is given twice") { $0.tensors.append($0.tensors[0]) },
    Case("type of a tensor", "\"t\" is of type 4, which is not known") {
      $0.tensors = [tensor("t", [2, 2], 4, 0)]
    },
    Case("type far off", "is of type 4294967295") {
      $0.tensors = [tensor("t", [2, 2], .max, 0)]
    },
    Case("dimensions", "its dimensions", "4294967295 do not fit") {
      $0.tensors = [
        HandMadeGGUF.joined(
          HandMadeGGUF.text("t"), bytesOf(UInt32.max), [UInt8](repeating: 0, count: 40))
      ]
    },
    Case("dimension of 64 bits", "a dimension of 63 bits", "found \(UInt64.max)") {
      $0.tensors = [tensor("t", [.max], 0, 0)]
    },
    Case("shape that overflows", "shape [4294967296, 4294967296, 4]") {
      $0.tensors = [tensor("t", [4, 1 << 32, 1 << 32], 0, 0)]
    },
    Case("bytes that overflow", "shape [2305843009213693952]") {
      $0.tensors = [tensor("t", [1 << 61], 0, 0)]
    },
    Case("blocks", "\"t\"", "whole blocks of 32, as Q8_0", "found [2, 33]") {
      $0.tensors = [tensor("t", [33, 2], 8, 0)]
    },
    Case("misaligned", "begins at 8", "alignment, 32") {
      $0.tensors = [tensor("t", [2], 0, 8)]
    },
    Case("past the end", "16 bytes from 32 on", "has 16 bytes of data") {
      $0.tensors = [tensor("t", [2, 2], 0, 32)]
    },
    Case("start far off", "from 18446744073709551584 on") {
      $0.tensors = [tensor("t", [2, 2], 0, .max - 31)]
    },
    Case("larger than the file", "4000 bytes from 0 on") {
      $0.tensors = [tensor("t", [1000], 0, 0)]
    },
    Case("overlap", "\"u\" begins at 32, inside \"t\", which ends at 64") {
      $0.tensors = [tensor("u", [8], 0, 32), tensor("t", [16], 0, 0)]
      $0.data = 64
    },
    Case("same place", "begins at 0, inside") {
      $0.tensors = [tensor("t", [2], 0, 0), tensor("u", [2], 0, 0)]
    },
  ]

  @Test(arguments: cases)
  func saysWhatIsWrong(_ test: Case) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("wrong.gguf")
    try Data(test.file.bytes).write(to: URL(filePath: path))
    do throws(GGUFError) {
      _ = try GGUF(contentsOf: path)
      Issue.record("read")
    } catch {
      let text = error.description
      #expect(text.contains(path))
      for part in test.told { #expect(text.contains(part), "\(text)") }
    }
  }

  /// The file that the cases change is itself right.
  @Test func readsTheFileThatTheCasesChange() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("right.gguf")
    let file = HandMadeGGUF(tensors: [Self.tensor("t", [2, 2], 0, 0)], data: 16)
    try Data(file.bytes).write(to: URL(filePath: path))
    let opened = try GGUF(contentsOf: path)
    #expect(try opened.bytes(of: "t").copied == [UInt8](repeating: 7, count: 16))
    do throws(GGUFError) {
      _ = try opened.bytes(of: "u").byteCount
      Issue.record("a tensor that is not there")
    } catch {
      #expect(error == .missingTensor(path: path, expected: ["u"], found: ["t"]))
    }
  }

  /// Tensors may have gaps between them, and none at all any place.
  @Test func readsGapsAndEmptyTensors() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("gaps.gguf")
    let file = HandMadeGGUF(
      tensors: [
        Self.tensor("late", [4], 0, 64), Self.tensor("none", [0, 4], 0, 64),
        Self.tensor("one", [], 0, 0),
      ], data: 80)
    try Data(file.bytes).write(to: URL(filePath: path))
    let opened = try GGUF(contentsOf: path)
    let tensors = opened.header.tensors
    #expect(tensors.map(\.byteCount) == [16, 0, 4])
    #expect(tensors.map(\.shape) == [[4], [4, 0], []])
  }

  @Test func readsOtherArraysThanGGMLs() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("levels.gguf")
    var nested = Self.array(0, 1, [5])
    for _ in 0..<7 { nested = Self.array(9, 1, nested) }
    let file = HandMadeGGUF(keys: [Self.key("k", 9, nested)])
    try Data(file.bytes).write(to: URL(filePath: path))
    var value = try GGUFHeader(contentsOf: path).value(of: "k")
    for _ in 0..<8 {
      guard case .array(let array)? = value else { break }
      #expect(array.count == 1)
      value = array.values().first
    }
    #expect(value == .uint8(5))
  }

  @Test func namesWhatTheSystemRefuses() {
    #expect(throws: GGUFError.self) { _ = try GGUFHeader(contentsOf: "/nowhere/x.gguf") }
    #expect(throws: GGUFError.file(.notRegularFile(path: "/dev"))) {
      _ = try GGUFHeader(contentsOf: "/dev")
    }
  }
}
