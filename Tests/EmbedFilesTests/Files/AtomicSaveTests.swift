// A process that saves without pause is killed again and again, and the file is whole every time.

import EmbedFiles
import Foundation
import TestSupport
import Testing

@Suite struct AtomicSaveTests {
  @Test func aKillLeavesTheOldFileOrTheNew() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("model.safetensors")
    var random = SeededGenerator(seed: 12)
    let probe = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
      .appending(path: "SaveProbe")
    var (last, interrupted) = (0, 0)
    for kill in 0..<60 {
      let process = Process()
      process.executableURL = probe
      process.arguments = [path, "\(last + 1)"]
      let pipe = Pipe()
      process.standardOutput = pipe
      try process.run()
      // Now and then during the first save, which replaces the file of the process before.
      if kill % 4 != 0 { _ = pipe.fileHandleForReading.availableData }
      usleep(.random(in: 0..<30_000, using: &random))
      #expect(Foundation.kill(process.processIdentifier, SIGKILL) == 0)
      process.waitUntilExit()
      #expect(process.terminationReason == .uncaughtSignal)

      let leftovers = try folder.contents.filter { $0 != "model.safetensors" }
      if !leftovers.isEmpty { interrupted += 1 }
      for name in leftovers { try FileManager.default.removeItem(atPath: folder.path(name)) }
      guard FileManager.default.fileExists(atPath: path) else {
        #expect(last == 0, "the file is gone")
        continue
      }
      let file = try Safetensors(contentsOf: path)
      let save = try #require(file.header.metadata["save"].flatMap { Int($0) })
      #expect(save >= last, "an older file has come back")
      last = save
      let elements = try file.elements(of: "model.embed_tokens.weight", as: Float.self)
      let wrong = unsafe elements.withUnsafeBufferPointer { elements in
        unsafe elements.contains { $0 != Float(save) }
      }
      #expect(!wrong, "save \(save) is mixed with another")
    }
    // Kills must have hit saves under way, and saves must have been made.
    #expect(interrupted >= 10)
    #expect(last >= 20)
  }
}
