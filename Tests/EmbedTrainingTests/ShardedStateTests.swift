// Checkpoints that ranks write together: the same files from any number of ranks, read by any other; and what ends a
// save midway leaves the checkpoint before whole.

import EmbedDistributed
import EmbedKernel
import EmbedTraining
import Foundation
import TestSupport
import Testing

@Suite struct ShardedStateTests {
  typealias Run = RankTrainingTests.Run

  private static func files(_ path: String) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try FileManager.default.contentsOfDirectory(atPath: path) {
      files[name] = try? Data(contentsOf: URL(filePath: path + "/" + name))
    }
    return files
  }

  private static func names(step: String) -> Set<String> {
    [
      "model.safetensors.index.json", "model-step-\(step)-00001-of-00001.safetensors",
      "optimizer-step-\(step).safetensors",
    ]
  }

  private static func makeFolder(_ folder: TemporaryFolder, _ name: String) throws -> String {
    let path = folder.path(name)
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: false)
    return path
  }

  /// Uneven shards of a table, of vectors and of a head that is stepped last.
  private static let runs = [
    Run(), Run(positions: .t5, head: .untied, blocks: 4), Run(head: .untied, groups: 2, blocks: 11),
  ]

  @Test(arguments: runs) func anyRanksWriteTheFilesOfOneAndGoOn(_ run: Run) throws {
    let folder = try TemporaryFolder()
    let data = try run.data()
    let alone = try Trainer(run.model(), run.options)
    for _ in 0..<3 { _ = try alone.step(data) }
    let first = try Self.makeFolder(folder, "alone")
    try alone.saveShards(to: first, texts: ["text": "plays"])
    let expected = try Self.files(first)
    #expect(Set(expected.keys) == Self.names(step: "3"))
    // The model is in the file that the index names, for whoever reads models.
    let model = try GPT(contentsOf: first)
    for (read, own) in zip(model.parameters, alone.model.parameters) {
      #expect(read.values == own.values)
    }
    let whole = try RankTrainingTests.finish(alone, data, nil)
    for ranks in [2, 3, 7] {
      let path = try Self.makeFolder(folder, "ranks-\(ranks)")
      let results = try RankTrainingTests.onRanks(ranks) { communicator in
        let trainer = try Trainer(run.model(), run.options, threads: 1, over: communicator)
        let data = try run.data()
        for step in 1...3 {
          _ = try trainer.step(data)
          if step != 2 { try trainer.saveShards(to: path, texts: ["text": "plays"]) }
        }
      }
      for result in results { try result.get() }
      // Those of step 1 are gone with their index.
      #expect(try Self.files(path) == expected, "\(ranks) ranks")
      for others in [1, 2, 4] {
        let ends = try RankTrainingTests.onRanks(others) { communicator in
          let (trainer, texts) = try Trainer.restore(from: path, threads: 1, over: communicator)
          #expect(texts["text"] == "plays")
          return try RankTrainingTests.finish(trainer, run.data(), communicator)
        }
        for end in ends { #expect(try end.get() == whole, "\(ranks), then \(others) ranks") }
      }
    }
    let trainer = try Trainer.restore(from: first).trainer
    #expect(try RankTrainingTests.finish(trainer, data, nil) == whole)
  }

  /// A file that cannot take its place is as good as an end of the ranks between two files.
  @Test(arguments: [
    "model-step-2-00001-of-00001.safetensors", "optimizer-step-2.safetensors",
    "model.safetensors.index.json",
  ])
  func aSaveThatEndsMidwayLeavesTheOneBefore(_ blocked: String) throws {
    let folder = try TemporaryFolder()
    let path = try Self.makeFolder(folder, "run")
    let run = Run()
    let results = try RankTrainingTests.onRanks(3) { communicator -> [Bool] in
      let trainer = try Trainer(run.model(), run.options, threads: 1, over: communicator)
      let data = try run.data()
      _ = try trainer.step(data)
      try trainer.saveShards(to: path)
      let before = try Self.files(path)
      _ = try trainer.step(data)
      try communicator.barrier()
      let isIndex = blocked.hasSuffix(".json")
      let place = URL(filePath: path + "/" + blocked)
      if communicator.rank == 0 {
        if isIndex {
          try FileManager.default.moveItem(at: place, to: place.appendingPathExtension("kept"))
        }
        try FileManager.default.createDirectory(at: place, withIntermediateDirectories: false)
      }
      try communicator.barrier()
      var found: [Bool] = []
      do throws(TrainingError) {
        try trainer.saveShards(to: path)
      } catch {
        if case .ranks(.refused(rank: 0, let reason)) = error {
          found.append(communicator.rank > 0 && reason.contains(blocked))
        } else {
          found.append(communicator.rank == 0 && "\(error)".contains(blocked))
        }
      }
      try communicator.barrier()
      if communicator.rank == 0 {
        try FileManager.default.removeItem(at: place)
        if isIndex {
          try FileManager.default.moveItem(at: place.appendingPathExtension("kept"), to: place)
        }
      }
      try communicator.barrier()
      // All files of step 1 are as they were, and a run goes on from them.
      let after = try Self.files(path)
      found.append(before.allSatisfy { after[$0.key] == $0.value })
      found.append(
        try Trainer.restore(from: path, threads: 1, over: communicator).trainer.stepCount == 1)
      try communicator.barrier()
      try trainer.saveShards(to: path)
      found.append(try Set(Self.files(path).keys) == Self.names(step: "2"))
      return found
    }
    for result in results { #expect(try result.get() == [true, true, true, true]) }
  }

  /// The files of a step stay what they are while others of that step are written.
  @Test func aStepSavedTwiceHasTwoNames() throws {
    let folder = try TemporaryFolder()
    let path = try Self.makeFolder(folder, "run")
    let run = Run()
    let trainer = try Trainer(run.model(), run.options)
    try trainer.saveShards(to: path)
    #expect(try Set(Self.files(path).keys) == Self.names(step: "0"))
    for names in ["0.1", "0", "0.1"] {
      let other = try Trainer(run.model(), run.options)
      other.model.parameters[0].table.withMutableSpan { $0[0] += 1 }
      try other.saveShards(to: path)
      #expect(try Set(Self.files(path).keys) == Self.names(step: names))
      let read = try Trainer.restore(from: path).trainer.model
      #expect(read.parameters[0].values == other.model.parameters[0].values)
    }
  }

  @Test func filesThatDoNotBelongTogetherAreRefused() throws {
    let folder = try TemporaryFolder()
    let (first, second) = (
      try Self.makeFolder(folder, "first"), try Self.makeFolder(folder, "second")
    )
    let run = Run()
    let trainer = try Trainer(run.model(), run.options)
    let data = try run.data()
    _ = try trainer.step(data)
    try trainer.saveShards(to: first)
    _ = try trainer.step(data)
    try trainer.saveShards(to: second)
    func refuses(_ path: String, _ words: [String]) {
      #expect {
        _ = try Trainer.restore(from: path)
      } throws: { error in
        words.allSatisfy { "\(error)".contains($0) }
      }
    }
    func copy(_ from: String, _ to: String) throws {
      try? FileManager.default.removeItem(atPath: to)
      try FileManager.default.copyItem(atPath: from, toPath: to)
    }
    let (one, two) = (
      first + "/optimizer-step-1.safetensors", second + "/optimizer-step-2.safetensors"
    )
    let kept = try Data(contentsOf: URL(filePath: two))
    try copy(one, two)
    refuses(second, ["optimizer-step-2.safetensors", "step is '1'", "expected 2"])
    // Cut short, missing, and none at all.
    try kept.dropLast(4).write(to: URL(filePath: two))
    refuses(second, ["optimizer-step-2.safetensors"])
    try FileManager.default.removeItem(atPath: two)
    refuses(second, ["optimizer-step-2.safetensors"])
    try kept.write(to: URL(filePath: two))
    #expect(try Trainer.restore(from: second).trainer.stepCount == 2)
    let model = "model-step-2-00001-of-00001.safetensors"
    try copy(first + "/model-step-1-00001-of-00001.safetensors", second + "/" + model)
    refuses(second, [model, "step is '1'", "expected 2"])
    let index = CheckpointIndex.path(in: second)
    let text = try String(contentsOfFile: index, encoding: .utf8)
    for (old, new, words) in [
      ("\"step\":2", "\"step\":\"2\"", ["step", "whole number"]),
      ("\"step\":2", "\"step\":-2", ["step", "whole number"]),
      (model, "../first/model-step-1-00001-of-00001.safetensors", ["name of a file in its folder"]),
      ("wte.weight", "wte.wait", ["wte.weight"]),
      ("{", "[", ["model.safetensors.index.json"]),
      ("optimizer\":", "optimist\":", ["optimizer is missing"]),
    ] {
      try text.replacingOccurrences(of: old, with: new).write(
        toFile: index, atomically: true, encoding: .utf8)
      if old.hasPrefix("optimizer") {
        try copy(first + "/model-step-1-00001-of-00001.safetensors", second + "/" + model)
      }
      if old != "optimizer\":" { refuses(second, words) }
    }
    #expect(throws: TrainingError.self) { _ = try Trainer.restore(from: folder.path("")) }
  }
}
