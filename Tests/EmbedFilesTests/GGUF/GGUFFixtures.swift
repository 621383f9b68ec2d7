// The files that scripts/reference/make_gguf_fixtures.py wrote by PyPI's gguf, with what gguf's own reader
// tells of them, and headers made here byte by byte.

import EmbedFiles
import Foundation

enum GGUFFixtures {
  struct File: Decodable, Sendable, CustomStringConvertible {
    let name: String
    let keys: [String: Value]
    let tensors: [Tensor]
    var description: String { name }
  }

  /// A key's value: its type, that of its elements after it, and they as texts or as numbers in Python.
  struct Value: Decodable, Sendable {
    let type: [String]
    let texts: [String]?
    let numbers: [String]?
  }

  struct Tensor: Decodable, Sendable {
    let name: String
    let type: String
    let shape: [Int]
    let bytes: Int
    let offset: Int
  }

  private struct Index: Decodable { let files: [File] }

  static let folder = Fixtures.folder.appending(path: "gguf")

  static func files() throws -> [File] {
    let data = try Data(contentsOf: folder.appending(path: "index.json"))
    return try JSONDecoder().decode(Index.self, from: data).files
  }

  static func path(_ name: String) -> String { folder.appending(path: name).path }

  /// A tensor's bytes by the rule: element i is i * 3 - 4.
  static func plain(_ type: GGUFType, _ count: Int) -> [UInt8]? {
    func bytes<Value: FixedWidthInteger>(_ value: (Int) -> Value) -> [UInt8] {
      (0..<count).flatMap { bytesOf(value($0 * 3 - 4)) }
    }
    switch type {
    case .float32: return bytes { Float($0).bitPattern }
    case .float64: return bytes { Double($0).bitPattern }
    case .float16: return bytes { Half(Float($0)).bitPattern }
    case .bfloat16: return bytes { BFloat16(Float($0)).bitPattern }
    case .int8: return bytes { Int8(truncatingIfNeeded: $0) }
    case .int16: return bytes { Int16($0) }
    case .int32: return bytes { Int32($0) }
    case .int64: return bytes { Int64($0) }
    default: return nil
    }
  }
}

/// The lowest byte first.
func bytesOf<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
  (0..<Value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}

/// A GGUF file made by hand, right or wrong.
struct HandMadeGGUF {
  var magic = Array("GGUF".utf8)
  var version: UInt32 = 3
  /// Nil for as many as there are.
  var tensorCount: UInt64?
  var keyCount: UInt64?
  var keys: [[UInt8]] = []
  var tensors: [[UInt8]] = []
  var alignment = 32
  var data = 0

  static func text(_ text: String) -> [UInt8] {
    joined(bytesOf(UInt64(text.utf8.count)), Array(text.utf8))
  }

  static func key(_ name: String, _ type: UInt32, _ value: [UInt8]) -> [UInt8] {
    joined(text(name), bytesOf(type), value)
  }

  /// The value of an array.
  static func array(_ type: UInt32, _ count: UInt64, _ elements: [UInt8] = []) -> [UInt8] {
    joined(bytesOf(type), bytesOf(count), elements)
  }

  /// - Parameter dimensions: The innermost first.
  static func tensor(
    _ name: String, _ dimensions: [UInt64], type: UInt32 = 0, start: UInt64 = 0
  ) -> [UInt8] {
    joined(
      text(name), bytesOf(UInt32(dimensions.count)), dimensions.flatMap { bytesOf($0) },
      bytesOf(type),
      bytesOf(start))
  }

  static func joined(_ parts: [UInt8]...) -> [UInt8] { parts.flatMap { $0 } }

  var bytes: [UInt8] {
    var all = magic
    all += bytesOf(version)
    all += bytesOf(tensorCount ?? UInt64(tensors.count))
    all += bytesOf(keyCount ?? UInt64(keys.count))
    for part in keys + tensors { all += part }
    guard data > 0 else { return all }
    all += [UInt8](repeating: 0, count: (alignment - all.count % alignment) % alignment)
    all += [UInt8](repeating: 7, count: data)
    return all
  }
}
