// `train --checkpoint sharded`: what is in the folder, that a killed run goes on, and what reads it.

import EmbedCommand
import EmbedKernel
import EmbedTraining
import Foundation
import TestSupport
import Testing

@Suite struct ShardedRunTests {
  private let folder: TemporaryFolder
  private let text: String

  init() throws {
    folder = try TemporaryFolder()
    text = try folder.file("text.txt", TrainTests.words)
  }

  private func options(
    _ output: String, steps: Int = 24, blocks: Int = 5, checkpoint: String = "sharded"
  ) -> [String] {
    let sizes =
      "--context 8 --dim 8 --heads 2 --layers 1 --batch 3 --micro-batch 2 --save-every 1 "
      + "--evaluate-every 4 --evaluation-tokens 60 --sample 12 --threads 1 --validation-share 0.2 "
      + "--steps \(steps) --vocabulary-blocks \(blocks) --checkpoint \(checkpoint)"
    return ["train", "--text", text, "--output", folder.path(output)]
      + sizes.split(separator: " ").map(String.init)
  }

  private func run(_ words: [String]) throws -> CommandResult {
    let result = try embedkernel(words)
    try #require(result.code == 0, "\(result.errors)")
    return result
  }

  private func refused(_ words: [String], _ reason: String) throws {
    let result = try embedkernel(words)
    #expect(result.code != 0 && result.errors.contains(reason), "\(result.errors)")
  }

  private func contents(_ name: String) throws -> Set<String> {
    Set(try FileManager.default.contentsOfDirectory(atPath: folder.path(name)))
  }

  private static let finished: Set = [
    "model.safetensors.index.json", "model-step-24-00001-of-00001.safetensors",
    "optimizer-step-24.safetensors", "config.json", "losses.csv", "losses.svg", "model.safetensors",
    "sample.txt",
  ]

  @Test func aKilledRunEndsAsOneThatWasNot() throws {
    let told = try run(options("whole"))
    #expect(told.errors.contains("3 gradient groups, 5 vocabulary blocks on 1 rank"))
    #expect(try contents("whole") == Self.finished)
    let path = folder.path("killed")
    func count() -> Int {
      guard FileManager.default.fileExists(atPath: path + "/model.safetensors.index.json"),
        let log = try? String(contentsOfFile: path + "/losses.csv", encoding: .utf8)
      else { return -1 }
      return log.split(separator: "\n").count - 1
    }
    var isKilled = false
    for _ in 0..<20 where !isKilled {
      try? FileManager.default.removeItem(atPath: path)
      isKilled = try killedEmbedkernel(options("killed")) { count() >= 7 }
    }
    try #require(isKilled)
    // With an index and no model.safetensors yet, what transformers reads is all there.
    #expect(try contents("killed").isSuperset(of: ["config.json", "model.safetensors.index.json"]))
    _ = try folder.file(
      "killed/model-step-23.1-00001-of-00001.safetensors", "Of a save that was killed.")
    _ = try folder.file("killed/optimizer-step-3.safetensors", "The same.")
    #expect(try run(["train", "--resume", path]).errors.contains("goes on after step "))
    #expect(try contents("killed") == Self.finished)
    for name in Self.finished where name != "losses.csv" {
      let (killed, whole) = (folder.path("killed/" + name), folder.path("whole/" + name))
      #expect(
        try Data(contentsOf: URL(filePath: killed)) == Data(contentsOf: URL(filePath: whole)),
        "\(name)")
    }
  }

  @Test func whatReadsRunsReadsTheIndex() throws {
    _ = try run(options("run", steps: 3))
    _ = try run(options("whole", steps: 3, checkpoint: "whole"))
    let (first, second) = (folder.path("run"), folder.path("whole"))
    try FileManager.default.removeItem(atPath: first + "/model.safetensors")
    for words in [["evaluate"], ["sample", "--tokens", "9"]] {
      #expect(
        try run([words[0], first] + words.dropFirst()).output
          == run([words[0], second] + words.dropFirst()).output)
    }
    _ = try run(["train", "--resume", first, "--steps", "4"])
    try refused(options("run"), "holds a run")
    try refused(["train", "--resume", first, "--checkpoint", "whole"], "--checkpoint")
    // A folder with both is of two runs, and a state is of the folder it was written to.
    let (checkpoint, index) = ("/checkpoint.safetensors", "/model.safetensors.index.json")
    try FileManager.default.copyItem(atPath: second + checkpoint, toPath: first + checkpoint)
    try refused(["train", "--resume", first], "of which a run has one")
    try refused(["evaluate", first], "of which a run has one")
    try FileManager.default.removeItem(atPath: first + index)
    _ = try run(["train", "--resume", first])
    try refused(options("other", blocks: 257), "257")
    try refused(options("other", blocks: 0), "--vocabulary-blocks")
    try refused(options("other", checkpoint: "half"), "none of whole, sharded")
    #expect(!FileManager.default.fileExists(atPath: folder.path("other")))
  }
}
