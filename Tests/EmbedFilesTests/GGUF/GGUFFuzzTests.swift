// No bytes at all end the process: GGUF files cut at every length, and mutated ones.
//
// The test's argument is the seed, so a failure names it.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct GGUFFuzzTests {
  /// Reads every value and tensor in every way; true where all find the file good.
  private func survives(_ path: String) -> Bool {
    let copied = bytes(path, .copied)
    let mapped = bytes(path, .mapped)
    #expect(copied == mapped)
    return copied != nil
  }

  private func bytes(_ path: String, _ access: FileAccess) -> [[UInt8]]? {
    do throws(GGUFError) {
      let file = try GGUF(contentsOf: path, access: access)
      var all: [[UInt8]] = []
      for pair in file.header.metadata {
        if case .array(let array) = pair.value { #expect(array.values().count == array.count) }
      }
      for entry in file.header.tensors {
        let bytes = try file.bytes(of: entry.name)
        #expect(bytes.byteCount == entry.byteCount)
        all.append(bytes.copied)
      }
      return all
    } catch {
      #expect(error.description.contains(path))
      return nil
    }
  }

  /// Whatever the last tensor's last byte comes before may go, and nothing else.
  @Test(arguments: ["values.gguf", "plain.gguf", "aligned.gguf"])
  func refusesEveryTruncation(name: String) throws {
    let header = try GGUFHeader(contentsOf: GGUFFixtures.path(name))
    let whole = try Data(contentsOf: URL(filePath: GGUFFixtures.path(name)))
    let end = header.tensors.map { header.dataOffset + $0.end }.max()
    let folder = try TemporaryFolder()
    let cut = folder.path("cut.gguf")
    for length in 0..<whole.count {
      try whole.prefix(length).write(to: URL(filePath: cut))
      // Without tensors, what follows the keys is padding alone.
      let isWhole = end.map { length >= $0 } ?? (length > header.dataOffset - 32 && survives(cut))
      #expect(survives(cut) == isWhole, "\(length) of \(whole.count) bytes of \(name)")
    }
  }

  @Test(arguments: (0..<8 as Range<UInt64>).inDebug(every: 4))
  func survivesMutatedFiles(seed: UInt64) throws {
    let names = ["values.gguf", "plain.gguf", "aligned.gguf", "empty.gguf", "version2.gguf"]
    // Small numbers are types, counts and sizes.
    try FuzzedFiles(survives: survives).expectMutationsSurvived(
      names.map { GGUFFixtures.path($0) }, seed: seed
    ) { random, bytes in
      random.mutate(&bytes, edits: 0...3, telling: Array(0...14) + [32, 0x7F, 0x80, 0xFF])
    }
  }
}
