// No bytes at all end the process: `.npy` files cut at every length, mutated, and random.
//
// The test's argument is the seed, so a failure names it.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct NumPyFuzzTests {
  /// Reads the file in every way there is; true where all agree that it is good.
  private func survives(_ path: String) -> Bool {
    let header = try? NumPyHeader(contentsOf: path)
    let arrays = [
      bytes(Float.self, path), bytes(Double.self, path), bytes(Int32.self, path),
      bytes(Int64.self, path), bytes(UInt8.self, path), bytes(Half.self, path),
      bytes(BFloat16.self, path), bytes(Int8.self, path), bytes(Int16.self, path),
      bytes(UInt16.self, path), bytes(UInt32.self, path), bytes(UInt64.self, path),
    ].compactMap(\.self)
    #expect(arrays.map(\.count) == (header.map { [$0.dataByteCount] } ?? []))
    return header != nil
  }

  /// The array's bytes, copied and mapped alike, or nil where it is refused.
  private func bytes<Element: FileElement>(_ type: Element.Type, _ path: String) -> [UInt8]? {
    let copied = bytes(type, path, .copied)
    let mapped = bytes(type, path, .mapped)
    #expect(copied == mapped)
    return copied
  }

  private func bytes<Element: FileElement>(
    _ type: Element.Type, _ path: String, _ access: FileAccess
  ) -> [UInt8]? {
    do throws(NumPyError) {
      let array = try NumPyArray<Element>(contentsOf: path, access: access)
      return unsafe array.withUnsafeBufferPointer { unsafe Array(UnsafeRawBufferPointer($0)) }
    } catch {
      #expect(error.description.contains(path))
      return nil
    }
  }

  @Test(arguments: [
    "float32-matrix.npy", "float32-matrix-v2.npy", "int64-cube.npy", "bool-vector.npy",
    "float32-fortran-3x5.npy",
  ])
  func refusesEveryTruncation(name: String) throws {
    try FuzzedFiles(survives: survives).expectTruncationsRefused(NumPyFixtures.path(name))
  }

  @Test(arguments: 0..<8 as Range<UInt64>)
  func survivesMutatedFiles(seed: UInt64) throws {
    // Bytes that steer the header's reader, tried as often as any others.
    let telling = Array("{}()',:\"0123456789LTF<>|=-\\ \nhHiIqQeVub?".utf8)
    let fixtures = try NumPyFixtures.accepted().map { NumPyFixtures.path($0.name) }
    try FuzzedFiles(survives: survives).expectMutationsSurvived(fixtures, seed: seed) {
      random, bytes in
      // Nearly always within the header, where bytes have a meaning.
      random.mutate(&bytes, edits: 0...4, telling: telling, header: 80)
    }
  }

  @Test(arguments: 0..<4 as Range<UInt64>)
  func survivesRandomBytes(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let folder = try TemporaryFolder()
    let path = folder.path("random.npy")
    for _ in 0..<400 {
      let count = Int.random(in: 0...200, using: &random)
      var bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
      // Half of them get past the magic string, and half of those to the dictionary.
      let start: [UInt8] = [0x93, 0x4E, 0x55, 0x4D, 0x50, 0x59, 1, 0, 40, 0]
      let kept = [0, 0, 8, 10][Int.random(in: 0..<4, using: &random)]
      bytes.replaceSubrange(0..<min(kept, bytes.count), with: start.prefix(kept))
      try Data(bytes).write(to: URL(filePath: path))
      #expect(!survives(path))
    }
  }
}
