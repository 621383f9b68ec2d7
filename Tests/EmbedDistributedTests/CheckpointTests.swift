// Checkpoints: the same files from any number of ranks, read by any other number, and by other readers.

import EmbedDistributed
import EmbedKernel
import EmbedModels
import Foundation
import TestSupport
import Testing

@Suite struct CheckpointTests {
  private static let run = Run(rule: "adamw", untouched: .caughtUp, steps: 7, seed: 5)

  /// Trains from step `first` to `last`; saves at `last` where `save` is given.
  private static func train(
    _ communicator: Communicator, _ sharding: Sharding, _ steps: Range<Int>, from: String? = nil,
    to: String? = nil, rule: String = "adamw"
  ) throws -> [UInt32] {
    var run = run
    run.sharding = sharding
    run.rule = rule
    run.untouched = rule == "adamw" ? .caughtUp : nil
    let layer = try run.sharded(communicator)
    let optimizer = try ShardedOptimizer(run.updateRule(), for: layer)
    if let from { try layer.restore(from: from, optimizer: optimizer) }
    var gradient = try layer.makeGradient()
    let rows = run.rows(communicator)
    var output = try layer.makeOutput(batch: rows.count, context: run.context)
    for step in steps {
      let (ids, gradients) = run.step(step)
      let own = Array(ids[rows.lowerBound * run.context..<rows.upperBound * run.context])
      let width = run.context * run.dim
      let part = Array(gradients[rows.lowerBound * width..<rows.upperBound * width])
      try layer.forward(own, batch: rows.count, context: run.context, into: &output)
      try layer.backward(part, ids: own, batch: rows.count, context: run.context, into: &gradient)
      try optimizer.step(gradient)
    }
    #expect(optimizer.stepCount == steps.upperBound)
    if let to { try layer.save(to: to, optimizer: optimizer) }
    let positions = try #require(layer.positions)
    return try bits(layer.tokens) + bits(positions)
  }

  private static func files(_ folder: TemporaryFolder) throws -> [String: Data] {
    var files: [String: Data] = [:]
    for name in try folder.contents {
      files[name] = try Data(contentsOf: folder.url.appending(path: name))
    }
    return files
  }

  @Test(arguments: ["adamw", "row-wise-adagrad", "sgd"])
  func filesAreTheSameAndRunsGoOnBitForBit(rule: String) throws {
    var saved: [[String: Data]] = []
    var ended: [[UInt32]] = []
    let shardings: [Sharding] =
      rule == "adamw" ? ShardedEmbeddingTests.shardings : [.contiguousRows, .hashedRows(seed: 7)]
    let first = try TemporaryFolder()
    for (ranks, sharding) in zip([1, 3, 4], shardings) {
      let folder = ranks == 1 ? first : try TemporaryFolder()
      let path = folder.url.path
      _ = try values(ranks) {
        try Self.train($0, sharding, 0..<4, to: path, rule: rule)
      }
      saved.append(try Self.files(folder))
    }
    for (ranks, sharding) in zip([2, 7, 3], shardings) {
      let path = first.url.path
      ended.append(
        contentsOf: try values(ranks) {
          try Self.train($0, sharding, 4..<7, from: path, rule: rule)
        })
    }
    #expect(
      Set(saved[0].keys) == [
        "model.safetensors.index.json", "model-step-4-00001-of-00002.safetensors",
        "model-step-4-00002-of-00002.safetensors", "optimizer-step-4.safetensors",
      ])
    for files in saved { #expect(files == saved[0]) }
    for table in ended { #expect(table == ended[0]) }
  }

  @Test func aRunThatGoesOnIsTheRunThatSaved() throws {
    let folder = try TemporaryFolder()
    let path = folder.url.path
    let whole = try values(3) { communicator -> [UInt32] in
      _ = try Self.train(communicator, .contiguousRows, 0..<4, to: path)
      return try Self.train(communicator, .contiguousRows, 4..<7, from: path, to: path)
    }
    // The files of step 4 are gone with their index.
    #expect(try folder.contents.filter { $0.contains("step-4") }.isEmpty)
    #expect(try folder.contents.count == 4)
    let model = try SafetensorsModel(contentsOf: path)
    #expect(model.names == ["wte.weight", "wpe.weight"])
    let (tokens, positions) = (try model.table("wte.weight"), try model.table("wpe.weight"))
    #expect(bits(tokens.span) + bits(positions.span) == whole[0])
  }

  @Test func whatIsWrongWithACheckpointIsThrownOnAllRanks() throws {
    let folder = try TemporaryFolder()
    let path = folder.url.path
    let missing = try onRanks(2) { try Self.train($0, .contiguousRows, 0..<0, from: path) }
    for result in missing {
      #expect { try result.get() } throws: {
        guard case .file(let reason)? = $0 as? DistributedError else { return false }
        return reason.contains("model.safetensors.index.json")
      }
    }
    _ = try values(2) { try Self.train($0, .contiguousRows, 0..<2, to: path) }
    let other = try onRanks(2) { communicator in
      let layer = try ShardedEmbedding(
        vocabulary: 98, dim: 19, positions: .learned(maximum: 13), over: communicator)
      try layer.restore(from: path)
    }
    for result in other {
      #expect { try result.get() } throws: {
        guard case .file(let reason)? = $0 as? DistributedError else { return false }
        return reason.contains("wte.weight") && reason.contains("[98, 19]")
      }
    }
    let rule = try onRanks(2) {
      try Self.train($0, .contiguousRows, 0..<0, from: path, rule: "sgd")
    }
    for result in rule {
      #expect { try result.get() } throws: {
        guard case .file(let reason)? = $0 as? DistributedError else { return false }
        return reason.contains("optimizer is adamw: expected sgd")
      }
    }
    let nowhere = try onRanks(2) {
      try Self.train($0, .contiguousRows, 0..<1, to: path + "/none")
    }
    for (rank, result) in nowhere.enumerated() {
      #expect { try result.get() } throws: {
        switch $0 as? DistributedError {
        case .file(let reason)?: rank == 0 && reason.contains("/none/")
        case .refused(let refusing, let reason)?:
          rank == 1 && refusing == 0 && reason.contains("/none/")
        default: false
        }
      }
    }
  }
}
