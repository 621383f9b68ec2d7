// The files that scripts/reference/make_safetensors_fixtures.py wrote by the reference library.
// Element i of every tensor is i * 3 - 4, as the library casts it to the element type.

import EmbedFiles
import Foundation

enum SafetensorsFixtures {
  struct File: Decodable, Sendable, CustomStringConvertible {
    let name: String
    let sameBytes: Bool
    let metadata: [String: String]
    let tensors: [String: Tensor]
    var description: String { name }
  }

  /// `["F32", [3, 5]]` in the index.
  struct Tensor: Decodable, Sendable {
    let type: SafetensorsType
    let shape: [Int]

    init(from decoder: any Decoder) throws {
      var container = try decoder.unkeyedContainer()
      let name = try container.decode(String.self)
      type = SafetensorsType(rawValue: name)
      shape = try container.decode([Int].self)
    }

    var count: Int { shape.reduce(1, *) }

    /// The rule's numbers as the type's bytes.
    var bytes: [UInt8] {
      (0..<count).flatMap { i -> [UInt8] in
        let value = i * 3 - 4
        switch type {
        case .float32: return littleEndian(Float(value).bitPattern)
        case .float64: return littleEndian(Double(value).bitPattern)
        case .float16: return littleEndian(Half(Float(value)).bitPattern)
        case .bfloat16: return littleEndian(BFloat16(Float(value)).bitPattern)
        case .int32: return littleEndian(Int32(value))
        case .int64: return littleEndian(Int64(value))
        case .uint8: return [UInt8(truncatingIfNeeded: value)]
        case .bool: return [value == 0 ? 0 : 1]
        default: return []
        }
      }
    }

    private func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
      (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
  }

  private struct Index: Decodable { let files: [File] }

  static let folder = Fixtures.folder.appending(path: "safetensors")

  static func files() throws -> [File] {
    let data = try Data(contentsOf: folder.appending(path: "index.json"))
    return try JSONDecoder().decode(Index.self, from: data).files
  }

  static func path(_ name: String) -> String { folder.appending(path: name).path }

  /// A file of this header and as many data bytes.
  static func write(_ header: String, data: Int, to path: String) throws {
    try write(Array(header.utf8), data: data, to: path)
  }

  static func write(_ header: [UInt8], data: Int, to path: String) throws {
    let length = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }
    try Data(length + header + [UInt8](repeating: 7, count: data)).write(to: URL(filePath: path))
  }
}

extension RawSpan {
  /// A copy, for comparing.
  var copied: [UInt8] { unsafe withUnsafeBytes { unsafe Array($0) } }
}
