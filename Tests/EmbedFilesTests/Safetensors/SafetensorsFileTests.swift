// Safetensors files against the reference library's own: each is read, and written again byte for
// byte.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct SafetensorsFileTests {
  @Test(arguments: try SafetensorsFixtures.files(), [FileAccess.copied, .mapped])
  func readsWhatTheReferenceWrote(
    file: SafetensorsFixtures.File, access: FileAccess
  ) throws {
    let opened = try Safetensors(
      contentsOf: SafetensorsFixtures.path(file.name), access: access)
    let (names, metadata, isMapped) = (opened.names, opened.header.metadata, opened.isMapped)
    #expect(metadata == file.metadata)
    #expect(Set(names) == Set(file.tensors.keys))
    #expect(names.count == file.tensors.count)
    // Only the loose file is unaligned.
    #expect(isMapped == (access == .mapped && file.sameBytes))
    for (name, tensor) in file.tensors {
      let entry = try #require(opened.header.entry(name))
      #expect(entry.type == tensor.type)
      #expect(entry.shape == tensor.shape)
      let bytes = try opened.bytes(of: name)
      let copied = bytes.copied
      #expect(copied == tensor.bytes, "\(name)")
      let address = unsafe bytes.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
      #expect(tensor.count == 0 || address % UInt(tensor.type.byteCount ?? 1) == 0)
    }
  }

  @Test(arguments: try SafetensorsFixtures.files().filter(\.sameBytes))
  func writesTheBytesThatTheReferenceWrites(file: SafetensorsFixtures.File) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("written.safetensors")
    let source = try Safetensors(contentsOf: SafetensorsFixtures.path(file.name))
    var writer = try SafetensorsWriter(
      path, tensors: file.tensors.map { SafetensorsTensor($0, $1.type, shape: $1.shape) },
      metadata: file.metadata)
    for (name, tensor) in file.tensors {
      switch tensor.type {
      case .float32: try copy(name, as: Float.self, source, &writer)
      case .float64: try copy(name, as: Double.self, source, &writer)
      case .float16: try copy(name, as: Half.self, source, &writer)
      case .bfloat16: try copy(name, as: BFloat16.self, source, &writer)
      case .int32: try copy(name, as: Int32.self, source, &writer)
      case .int64: try copy(name, as: Int64.self, source, &writer)
      default: try copy(name, as: UInt8.self, source, &writer)
      }
    }
    try writer.commit()
    let expected = try Data(contentsOf: URL(filePath: SafetensorsFixtures.path(file.name)))
    #expect(try Data(contentsOf: URL(filePath: path)) == expected)
    #expect(try folder.contents == ["written.safetensors"])
  }

  private func copy<Element: FileElement>(
    _ name: String, as type: Element.Type, _ source: borrowing Safetensors,
    _ writer: inout SafetensorsWriter
  ) throws {
    let elements = try source.elements(of: name, as: type)
    try writer.write(name, elements)
  }

  @Test(arguments: [SafetensorsType.float32, .float16, .bfloat16])
  func roundsFloatsToTheTensorsType(type: SafetensorsType) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("rounded.safetensors")
    var random = SeededGenerator(seed: 5)
    // More than a block of the writer.
    let values = random.floats(70_001)
    var writer = try SafetensorsWriter(path, tensors: [.init("t", type, shape: [70_001])])
    try writer.write("t", rounding: values.span)
    try writer.commit()
    let file = try Safetensors(contentsOf: path)
    switch type {
    case .float32:
      let elements = try file.elements(of: "t", as: Float.self)
      #expect(elements.indices.allSatisfy { elements[$0] == values[$0] })
    case .float16:
      let elements = try file.elements(of: "t", as: Half.self)
      #expect(elements.indices.allSatisfy { elements[$0] == Half(values[$0]) })
    default:
      let elements = try file.elements(of: "t", as: BFloat16.self)
      #expect(elements.indices.allSatisfy { elements[$0] == BFloat16(values[$0]) })
    }
  }

  @Test func followsALinkAndRefusesAPipe() throws {
    let folder = try TemporaryFolder()
    func save(_ value: Float, to path: String) throws {
      var writer = try SafetensorsWriter(path, tensors: [.init("t", .float32, shape: [1])])
      try writer.write("t", [value].span)
      try writer.commit()
    }
    try save(4, to: folder.path("target"))
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("link"), withDestinationPath: "target")
    try save(5, to: folder.path("link"))
    let read = try Safetensors(contentsOf: folder.path("target"))
    let first = try read.elements(of: "t", as: Float.self)[0]
    #expect(first == 5)
    #expect(
      try FileManager.default.destinationOfSymbolicLink(atPath: folder.path("link")) == "target")
    #expect(unsafe mkfifo(folder.path("pipe"), 0o600) == 0)
    #expect(
      throws: SafetensorsError.file(.notRegularFile(path: folder.path("pipe")))
    ) { try save(6, to: folder.path("pipe")) }
    #expect(try folder.contents == ["link", "pipe", "target"])
  }
}
