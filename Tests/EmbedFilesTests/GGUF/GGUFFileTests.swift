// GGUF files against PyPI's gguf: each of its own is read as its reader tells it, and written again byte
// for byte.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct GGUFFileTests {
  @Test(arguments: try GGUFFixtures.files(), [FileAccess.copied, .mapped])
  func readsWhatGGUFWrote(file: GGUFFixtures.File, access: FileAccess) throws {
    let path = GGUFFixtures.path(file.name)
    let opened = try GGUF(contentsOf: path, access: access)
    let isMapped = opened.isMapped
    #expect(isMapped == (access == .mapped))
    let header = opened.header
    #expect(header.version == (file.name.hasPrefix("version2") ? 2 : 3))
    #expect(header.alignment == (file.name.hasPrefix("aligned") ? 8 : 32))
    #expect(header.tensors.map(\.name) == file.tensors.map(\.name))
    let whole = [UInt8](try Data(contentsOf: URL(filePath: path)))
    for tensor in file.tensors {
      let entry = try #require(header.entry(tensor.name))
      #expect(entry.type.name == tensor.type)
      #expect(entry.shape == tensor.shape)
      #expect(entry.count == tensor.shape.reduce(1, *))
      #expect(header.dataOffset + entry.start == tensor.offset)
      let bytes = try opened.bytes(of: tensor.name).copied
      #expect(bytes == Array(whole[tensor.offset..<tensor.offset + tensor.bytes]))
      if file.name == "plain.gguf" {
        #expect(bytes == GGUFFixtures.plain(entry.type, entry.count), "\(tensor.name)")
      }
    }
  }

  @Test(arguments: try GGUFFixtures.files())
  func tellsTheValuesThatGGUFTells(file: GGUFFixtures.File) throws {
    let header = try GGUFHeader(contentsOf: GGUFFixtures.path(file.name))
    #expect(Set(header.metadata.map(\.key)) == Set(file.keys.keys))
    for (key, expected) in file.keys {
      let value = try #require(header.value(of: key))
      #expect(value.kinds == expected.type, "\(key)")
      #expect(value.leaves.compactMap(\.text) == expected.texts ?? [], "\(key)")
      #expect(value.leaves.compactMap(\.pythonNumber) == expected.numbers ?? [], "\(key)")
    }
  }

  @Test(arguments: try GGUFFixtures.files().filter { !$0.name.hasPrefix("version2") })
  func writesTheBytesThatGGUFWrites(file: GGUFFixtures.File) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("written.gguf")
    let source = try GGUF(contentsOf: GGUFFixtures.path(file.name))
    var writer = try GGUFWriter(
      path, tensors: source.header.tensors.map { GGUFTensor($0) },
      metadata: source.header.metadata)
    // In another order than they have in the file.
    for name in source.names.reversed() {
      let bytes = try source.bytes(of: name)
      try writer.write(name, bytes: bytes)
    }
    try writer.commit()
    let expected = try Data(contentsOf: URL(filePath: source.path))
    #expect(try Data(contentsOf: URL(filePath: path)) == expected)
    #expect(try folder.contents == ["written.gguf"])
  }

  @Test func givesElementsOfTheirTypeAlone() throws {
    let file = try GGUF(contentsOf: GGUFFixtures.path("plain.gguf"))
    let floats = try file.elements(of: "f32", as: Float.self)
    let expected = (0..<15).map { Float($0 * 3 - 4) }
    let values = floats.indices.map { floats[$0] }
    #expect(values == expected)
    let brain = try file.elements(of: "bf16", as: BFloat16.self)
    let widened = brain.indices.map { brain[$0].float }
    #expect(widened == Array(expected[..<8]))
    let path = file.path
    #expect(
      throws: GGUFError.elementType(path: path, tensor: "f16", expected: "F32", found: "F16")
    ) { _ = try file.elements(of: "f16", as: Float.self).count }
    #expect(
      throws: GGUFError.elementType(path: path, tensor: "i8", expected: "uint8", found: "I8")
    ) { _ = try file.elements(of: "i8", as: UInt8.self).count }
  }

  /// Alignment of less than an element's size: nothing can be read where it lies.
  @Test func copiesWhatIsNotAligned() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("loose.gguf")
    let metadata = [GGUFMetadata("general.alignment", .uint32(1))]
    var writer = try GGUFWriter(
      path, tensors: [.init("a", .int8, shape: [3]), .init("b", .float32, shape: [2])],
      metadata: metadata)
    try writer.write("a", [1, 2, 3 as Int8].span)
    try writer.write("b", [0.5, -2 as Float].span)
    try writer.commit()
    let file = try GGUF(contentsOf: path)
    let isMapped = file.isMapped
    #expect(!isMapped)
    let b = try file.elements(of: "b", as: Float.self)
    #expect(b[0] == 0.5 && b[1] == -2)
  }

  @Test func refusesToWriteWhatIsNoFile() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("x.gguf")
    func write(_ tensors: [GGUFTensor], _ metadata: [GGUFMetadata] = []) throws {
      _ = try GGUFWriter(path, tensors: tensors, metadata: metadata)
    }
    let tensor = GGUFTensor("a", .float32, shape: [2])
    #expect(throws: GGUFError.duplicateName(path: path, name: "a")) { try write([tensor, tensor]) }
    #expect(throws: GGUFError.duplicateName(path: path, name: "k")) {
      try write([], [.init("k", .bool(true)), .init("k", .bool(true))])
    }
    let blocks = try #require(GGUFType(name: "Q8_0"))
    #expect(
      throws: GGUFError.shape(
        path: path, tensor: "q", expected: "of rows of whole blocks of 32, as Q8_0 has them",
        found: [2, 33])
    ) { try write([.init("q", blocks, shape: [2, 33])]) }
    #expect(throws: GGUFError.shapeOverflow(path: path, tensor: "h", shape: [.max, 2])) {
      try write([.init("h", .float32, shape: [.max, 2])])
    }
    #expect(throws: (any Error).self) { try write([], [.init("general.alignment", .uint32(12))]) }

    var writer = try GGUFWriter(path, tensors: [tensor])
    do {
      try writer.write("a", [1 as Float].span)
      Issue.record("a tensor of too few bytes was taken")
    } catch {
      #expect(error == .byteCount(path: path, tensor: "a", shape: [2], expected: 8, actual: 4))
    }
    do {
      try writer.write("a", [1, 2 as Int32].span)
      Issue.record("elements of another type were taken")
    } catch {
      #expect(error == .elementType(path: path, tensor: "a", expected: "I32", found: "F32"))
    }
    do {
      try writer.commit()
      Issue.record("a file without its tensor was taken for whole")
    } catch {
      #expect(error == .unwrittenTensors(path: path, tensors: ["a"]))
    }
    #expect(try folder.contents == [])
  }
}

extension GGUFValue {
  /// The type's name, and that of what is in it, as gguf tells them.
  fileprivate var kinds: [String] {
    guard case .array(let array) = self else { return ["\(type)"] }
    return ["array"] + (array.values(1).first?.kinds ?? [])
  }

  /// The value, or all values in it.
  fileprivate var leaves: [GGUFValue] {
    guard case .array(let array) = self else { return [self] }
    return array.values().flatMap(\.leaves)
  }

  fileprivate var text: String? { if case .string(let text) = self { text } else { nil } }

  /// The number as Python writes it.
  fileprivate var pythonNumber: String? {
    switch self {
    case .uint8(let value): "\(value)"
    case .int8(let value): "\(value)"
    case .uint16(let value): "\(value)"
    case .int16(let value): "\(value)"
    case .uint32(let value): "\(value)"
    case .int32(let value): "\(value)"
    case .uint64(let value): "\(value)"
    case .int64(let value): "\(value)"
    case .float32(let value): "\(Double(value))"
    case .float64(let value): "\(value)"
    case .bool(let value): value ? "True" : "False"
    case .string, .array: nil
    }
  }
}
