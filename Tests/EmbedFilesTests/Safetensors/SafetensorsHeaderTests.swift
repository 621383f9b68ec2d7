// Headers good and bad against the reference library's verdict on each, and files of types that have
// no Swift type. The fixture comes from scripts/reference/make_safetensors_headers.py.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct SafetensorsHeaderTests {
  private struct Fixture: Decodable {
    struct Tensor: Decodable, Hashable {
      let name: String
      let type: String
      let shape: [Int]

      init(from decoder: any Decoder) throws {
        var container = try decoder.unkeyedContainer()
        name = try container.decode(String.self)
        type = try container.decode(String.self)
        shape = try container.decode([Int].self)
      }

      init(_ entry: SafetensorsEntry) {
        (name, type, shape) = (entry.name, entry.type.rawValue, entry.shape)
      }
    }

    struct Case: Decodable {
      let header: String
      let data: Int
      let tensors: [Tensor]?
      let differs: String?
    }

    let cases: [Case]
  }

  @Test func readsWhatTheReferenceReads() throws {
    let file = Fixtures.folder.appending(path: "safetensors-headers/headers.json")
    let cases = try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: file)).cases
    let folder = try TemporaryFolder()
    let path = folder.path("a.safetensors")
    for case_ in cases where case_.differs != "unknown" {
      try SafetensorsFixtures.write(case_.header, data: case_.data, to: path)
      let read = try? SafetensorsHeader(contentsOf: path).tensors.map(Fixture.Tensor.init)
      // A name given twice, and an object in another form, are refused.
      let expected = case_.differs == nil ? case_.tensors : nil
      #expect(read.map(Set.init) == expected.map(Set.init), "\(case_.header)")
    }
    #expect(cases.count { $0.tensors != nil } > 80 && cases.count > 400)
  }

  private static func tensor(_ name: String, _ type: String, _ shape: String, _ offsets: String)
    -> String
  {
    SafetensorsErrorTests.tensor(name, type, shape, offsets)
  }

  /// Types to come are of unknown size: their offsets alone are checked.
  @Test(arguments: [
    ("F4", "2,8", 8), ("F6_E2M3", "4,2", 6), ("F8_E4M3", "2,4", 8), ("F8_E5M2", "8", 8),
    ("F8_E8M0", "8", 8), ("F8_E4M3FNUZ", "8", 8), ("F8_E5M2FNUZ", "8", 8), ("C64", "1", 8),
    ("F8_E3M4", "8", 8), ("I2", "3", 1), ("n\u{E9}w \\\"type\\\"", "1,0,3", 5),
  ])
  func aTypeWithoutASwiftTypeKeepsNothingFromBeingRead(
    type: String, shape: String, bytes: Int
  ) throws {
    let folder = try TemporaryFolder()
    let (path, copy) = (folder.path("a.safetensors"), folder.path("b.safetensors"))
    let entries = [
      Self.tensor("model.embed_tokens.weight", "F32", "2,1", "0,8"),
      Self.tensor("x.q", type, shape, "8,\(8 + bytes)"),
      Self.tensor("y", "U8", "3", "\(8 + bytes),\(11 + bytes)"),
    ]
    try SafetensorsFixtures.write(
      "{\(entries.joined(separator: ","))}", data: 11 + bytes, to: path)
    for access in [FileAccess.copied, .mapped] {
      let file = try Safetensors(contentsOf: path, access: access)
      let names = file.names
      #expect(names == ["model.embed_tokens.weight", "x.q", "y"])
      let table = try file.elements(of: "model.embed_tokens.weight", as: Float.self)
      let rows = table.count
      #expect(rows == 2)
      let raw = try file.bytes(of: "x.q")
      let count = raw.byteCount
      #expect(count == bytes)
      let error = #expect(throws: SafetensorsError.self) {
        _ = try file.elements(of: "x.q", as: Float.self)
      }
      #expect(error?.description.contains("\"x.q\": expected elements of type F32") == true)
    }

    // Written again, all of it is there.
    let file = try Safetensors(contentsOf: path)
    let tensors = file.header.tensors
    var writer = try SafetensorsWriter(copy, tensors: tensors.map { SafetensorsTensor($0) })
    for tensor in tensors { try writer.write(tensor.name, bytes: try file.bytes(of: tensor.name)) }
    try writer.commit()
    let again = try SafetensorsHeader(contentsOf: copy)
    #expect(Set(again.tensors.map(Fixture.Tensor.init)) == Set(tensors.map(Fixture.Tensor.init)))
    #expect(again.entry("x.q")?.byteCount == bytes)
  }

  @Test func aTypeOfUnknownSizeIsWrittenWithItsBytesAlone() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("a.safetensors")
    let error = #expect(throws: SafetensorsError.self) {
      _ = try SafetensorsWriter(path, tensors: [.init("a", .other("I2"), shape: [4])])
    }
    #expect(error?.description.contains("I2") == true)
    #expect(try folder.contents.isEmpty)
  }
}
