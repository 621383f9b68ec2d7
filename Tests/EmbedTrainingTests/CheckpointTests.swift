// Saving a run and taking it up again: bit for bit where the file is whole, a typed error where it is
// not.

import EmbedKernel
import EmbedTraining
import Foundation
import TestSupport
import Testing

@Suite struct CheckpointTests {
  private static let options = TrainingOptions(
    batch: 3, microBatch: 2, steps: 9, learningRate: 0.01, warmup: 2, clip: 0.5, seed: 5)

  private static func trainer(
    _ positions: PositionScheme = .learned, _ head: OutputHead = .tied, dim: Int = 8
  ) throws -> Trainer {
    let c = GPTCase(positions: positions, direction: .causal, head: head)
    return try Trainer(GPT(c.configuration(dim: dim), seed: 3), options)
  }

  /// A text of so few windows that a run passes over it several times.
  private static func data() throws -> TrainingData {
    var draws = SeededGenerator(seed: 40)
    return try TrainingData(tokens: draws.ids(61, below: 11), context: 6, validationShare: 0)
  }

  private func expectSame(_ a: GPT, _ b: GPT) {
    #expect(a.configuration == b.configuration)
    #expect(a.parameters.map(\.name) == b.parameters.map(\.name))
    for (x, y) in zip(a.parameters, b.parameters) {
      #expect(x.values.map(\.bitPattern) == y.values.map(\.bitPattern), "\(x.name)")
    }
  }

  @Test(arguments: PositionScheme.allCases, OutputHead.allCases)
  func aRestoredRunGoesOnBitForBit(_ positions: PositionScheme, head: OutputHead) throws {
    let folder = try TemporaryFolder()
    let data = try Self.data()
    let whole = try Self.trainer(positions, head)
    let reports = try (0..<9).map { _ in try whole.step(data) }
    for stop in [0, 1, 4, 8] {
      let first = try Self.trainer(positions, head)
      for _ in 0..<stop { _ = try first.step(data) }
      try first.save(to: folder.path("run"), texts: ["text": "plays"])
      let (second, texts) = try Trainer.restore(from: folder.path("run"), threads: 1)
      #expect(texts["text"] == "plays")
      #expect(second.stepCount == stop)
      #expect(second.options == Self.options)
      expectSame(second.model, first.model)
      // What was read is written alike.
      try second.save(to: folder.path("again"), texts: ["text": "plays"])
      #expect(
        try Data(contentsOf: URL(filePath: folder.path("again")))
          == Data(contentsOf: URL(filePath: folder.path("run"))))
      for step in stop..<9 { #expect(try second.step(data) == reports[step]) }
      expectSame(second.model, whole.model)
    }
    #expect(try folder.contents == ["again", "run"])
  }

  @Test(arguments: PositionScheme.allCases)
  func aModelComesBackAlone(_ positions: PositionScheme) throws {
    let folder = try TemporaryFolder()
    let c = GPTCase(positions: positions, direction: .bidirectional, head: .untied)
    let model = try GPT.drawn(c.configuration(), seed: 41)
    try model.save(to: folder.path("model"))
    let read = try GPT(contentsOf: folder.path("model"))
    expectSame(read, model)
    // Not only the parameters: what is computed of them, too.
    let batch = GPTBatch(model.configuration, batch: 2, context: 6, seed: 42)
    let losses = try [model, read].map {
      let workspace = try GPTWorkspace(for: $0, batch: 2, context: 6, purpose: .training)
      return try batch.gradients(of: $0, in: workspace)
    }
    #expect(losses[0] == losses[1])
    // A trainer's file is a model's as well; a model's lacks the run.
    let trainer = try Self.trainer(positions)
    try trainer.save(to: folder.path("run"))
    expectSame(try GPT(contentsOf: folder.path("run")), trainer.model)
    #expect(throws: TrainingError.self) { try Trainer.restore(from: folder.path("model")) }
  }

  @Test func aTruncatedFileIsRefused() throws {
    let folder = try TemporaryFolder()
    try Self.trainer(.t5).save(to: folder.path("run"))
    let bytes = try Data(contentsOf: URL(filePath: folder.path("run")))
    for count in [0, 1, 7, 8, 9, 500, bytes.count / 2, bytes.count - 1] {
      try bytes.prefix(count).write(to: URL(filePath: folder.path("cut")))
      #expect(throws: TrainingError.self, "\(count) bytes") {
        try Trainer.restore(from: folder.path("cut"))
      }
      #expect(throws: TrainingError.self, "\(count) bytes") {
        try GPT(contentsOf: folder.path("cut"))
      }
    }
    #expect(throws: TrainingError.self) { try Trainer.restore(from: folder.path("none")) }
  }

  /// Any byte of the header: the file is refused, or reads as a run that can be saved again.
  @Test func aDamagedHeaderTrapsNowhere() throws {
    let folder = try TemporaryFolder()
    try Self.trainer().save(to: folder.path("run"))
    let bytes = try Data(contentsOf: URL(filePath: folder.path("run")))
    let length = Int(bytes[0]) | Int(bytes[1]) << 8
    #if DEBUG
      let places = 60
    #else
      let places = 600
    #endif
    var draws = SeededGenerator(seed: 43)
    var refused = 0
    for _ in 0..<places {
      var damaged = bytes
      let place = Int.random(in: 0..<length + 8, using: &draws)
      // Sizes with another digit are sizes, and may be large: letters alone.
      damaged[place] = UInt8.random(in: 65...122, using: &draws)
      try damaged.write(to: URL(filePath: folder.path("damaged")))
      do throws(TrainingError) {
        _ = try Trainer.restore(from: folder.path("damaged"))
      } catch {
        refused += 1
      }
    }
    #expect(refused > places / 2)
  }

  /// Writes the run's file again with other texts, or with a tensor of another shape.
  private func rewrite(
    _ path: String, texts: [String: String] = [:], shapes: [String: [Int]] = [:],
    without missing: String? = nil, to target: String
  ) throws {
    let file = try Safetensors(contentsOf: path)
    let entries = file.header.tensors.filter { $0.name != missing }
    var writer = try SafetensorsWriter(
      target,
      tensors: entries.map {
        SafetensorsTensor($0.name, $0.type, shape: shapes[$0.name] ?? $0.shape)
      }, metadata: file.header.metadata.merging(texts) { $1 }.filter { $0.value != "-" })
    for entry in entries {
      let values = try file.elements(of: entry.name, as: Float.self)
      try writer.write(entry.name, values)
    }
    try writer.commit()
  }

  @Test(arguments: [
    "model.vocabulary", "model.context", "model.dim", "model.heads", "model.layers",
    "model.positions", "model.direction", "model.head", "step", "training.context",
    "training.batch", "training.micro_batch", "training.steps", "training.learning_rate",
    "training.beta1", "training.epsilon", "training.clip", "training.seed",
  ])
  func aWrongTextIsRefused(_ key: String) throws {
    let folder = try TemporaryFolder()
    try Self.trainer().save(to: folder.path("run"))
    // A dash takes the text away.
    for value in ["-", "", "-1", "1e", "nan"] {
      try rewrite(folder.path("run"), texts: [key: value], to: folder.path("wrong"))
      #expect(throws: TrainingError.self, "\(key) '\(value)'") {
        try Trainer.restore(from: folder.path("wrong"))
      }
    }
  }

  /// Sizes that the tensors do not have, some of which no memory could hold.
  @Test(arguments: [
    ("model.vocabulary", "12"), ("model.context", "7"), ("model.dim", "16"), ("model.layers", "3"),
    ("model.head", "untied"), ("model.positions", "t5"), ("model.vocabulary", "1000000000000"),
    ("model.context", "1000000000000"), ("model.dim", "1000000000000"),
    ("model.layers", "1000000000"), ("model.layers", "-9223372036854775808"),
  ])
  func sizesThatTensorsDoNotHaveAreRefused(_ key: String, value: String) throws {
    let folder = try TemporaryFolder()
    try Self.trainer().save(to: folder.path("run"))
    try rewrite(folder.path("run"), texts: [key: value], to: folder.path("other"))
    #expect(throws: TrainingError.self) { try Trainer.restore(from: folder.path("other")) }
    #expect(throws: TrainingError.self) { try GPT(contentsOf: folder.path("other")) }
  }

  /// A context that no tensor proves takes no memory before it is used, and then all of it.
  @Test func aContextOfSinusoidsIsMadeWhereItIsUsed() throws {
    let folder = try TemporaryFolder()
    let c = GPTCase(positions: .sinusoidal, direction: .causal, head: .tied)
    let model = try GPT.drawn(c.configuration(context: 1_500, heads: 1, layers: 1), seed: 44)
    try model.save(to: folder.path("model"))
    let read = try GPT(contentsOf: folder.path("model"))
    #expect(read.input.maximumContext == 1_024)
    let batch = GPTBatch(model.configuration, batch: 1, context: 1_500, seed: 45)
    let losses = try [model, read].map {
      let workspace = try GPTWorkspace(for: $0, batch: 1, context: 1_500, purpose: .training)
      return try batch.gradients(of: $0, in: workspace)
    }
    #expect(losses[0] == losses[1])
    try rewrite(
      folder.path("model"), texts: ["model.context": "1000000000000000000"],
      to: folder.path("long"))
    let long = try GPT(contentsOf: folder.path("long"))
    #expect(long.configuration.context == 1_000_000_000_000_000_000)
    #expect(try long.sample(after: [1], count: 3).count == 3)
    #expect(throws: EmbedError.self) {
      _ = try GPTWorkspace(
        for: long, batch: 1, context: long.configuration.context, purpose: .evaluation)
    }
  }

  @Test func tensorsOfAnotherShapeAreRefused() throws {
    let folder = try TemporaryFolder()
    try Self.trainer().save(to: folder.path("run"))
    for name in ["wte.weight", "optimizer.exp_avg.wte.weight", "optimizer.exp_avg_sq.wte.weight"] {
      try rewrite(folder.path("run"), shapes: [name: [8, 11]], to: folder.path("turned"))
      #expect {
        try Trainer.restore(from: folder.path("turned"))
      } throws: { error in
        guard
          case .tensorShape(_, tensor: name, found: [8, 11], expected: [11, 8]) =
            error as? TrainingError
        else { return false }
        return true
      }
      try rewrite(folder.path("run"), without: name, to: folder.path("short"))
      #expect {
        try Trainer.restore(from: folder.path("short"))
      } throws: { error in
        guard case .file(.missingTensor(_, expected: [name], _)) = error as? TrainingError else {
          return false
        }
        return true
      }
    }
  }
}
