// No bytes at all end the process: safetensors files cut at every length, mutated, and random.
//
// The test's argument is the seed, so a failure names it.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct SafetensorsFuzzTests {
  /// Reads every tensor of the file in every way; true where both find it good.
  private func survives(_ path: String) -> Bool {
    let copied = bytes(path, .copied)
    let mapped = bytes(path, .mapped)
    #expect(copied == mapped)
    if let copied {
      let header = try? SafetensorsHeader(contentsOf: path)
      #expect(header?.tensors.map(\.byteCount) == copied.map(\.count))
    }
    return copied != nil
  }

  private func bytes(_ path: String, _ access: FileAccess) -> [[UInt8]]? {
    do throws(SafetensorsError) {
      let file = try Safetensors(contentsOf: path, access: access)
      var all: [[UInt8]] = []
      for name in file.names {
        let bytes = try file.bytes(of: name)
        all.append(bytes.copied)
      }
      return all
    } catch {
      #expect(error.description.contains(path))
      return nil
    }
  }

  @Test(arguments: ["mixed.safetensors", "loose.safetensors", "empty.safetensors"])
  func refusesEveryTruncation(name: String) throws {
    try FuzzedFiles(survives: survives).expectTruncationsRefused(SafetensorsFixtures.path(name))
  }

  @Test(arguments: (0..<8 as Range<UInt64>).inDebug(every: 4))
  func survivesMutatedFiles(seed: UInt64) throws {
    // Bytes that steer the header's reader, tried as often as any others.
    let telling = Array("{}[]\",:\\u0123456789-. BFIU\n".utf8)
    let fixtures = try SafetensorsFixtures.files().map { SafetensorsFixtures.path($0.name) }
    try FuzzedFiles(survives: survives).expectMutationsSurvived(fixtures, seed: seed) {
      random, bytes in
      random.mutate(&bytes, edits: 0...3, telling: telling)
      // Half the time the length is put right, so that inserted bytes reach the JSON's reader.
      if Bool.random(using: &random), bytes.count > 8,
        let end = bytes.lastIndex(of: UInt8(ascii: "}"))
      {
        let length = end - 7
        for i in 0..<8 where length > 0 { bytes[i] = UInt8(truncatingIfNeeded: length >> (8 * i)) }
      }
    }
  }

  @Test(arguments: 0..<4 as Range<UInt64>)
  func survivesRandomHeaders(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let folder = try TemporaryFolder()
    let path = folder.path("random")
    // Pieces of real headers in random order, so that many get far.
    let pieces = [
      "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"b\"", "\"dtype\"", "\"F32\"", "\"shape\"",
      "\"data_offsets\"", "\"__metadata__\"", "0", "4", "99999999999999999999", "\\", " ", "null",
      "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}", "\u{E9}",
    ]
    for _ in 0..<600 {
      let count = Int.random(in: 0...12, using: &random)
      let header =
        "{" + (0..<count).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
      try SafetensorsFixtures.write(
        header, data: [0, 4][Int.random(in: 0...1, using: &random)], to: path)
      _ = survives(path)
      var bytes = (0..<Int.random(in: 0...64, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      for i in 1..<8 where i < bytes.count { bytes[i] = 0 }
      try Data(bytes).write(to: URL(filePath: path))
      #expect(!survives(path))
    }
  }

  /// Depth costs no stack: the reader does not recurse.
  @Test func survivesDeepNesting() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("deep")
    for piece in ["[", "{\"a\":", "{\"__metadata__\":"] {
      try SafetensorsFixtures.write(
        "{\"a\":" + String(repeating: piece, count: 200_000), data: 0, to: path)
      #expect(!survives(path))
    }
  }
}
