// Training over ranks, as threads of this process: bit for bit what one process trains, in checkpoints too; the
// bytes that a step sends; and ranks that do not go together.

import EmbedDistributed
import EmbedKernel
import EmbedTraining
import Foundation
import TestSupport
import Testing

@Suite struct RankTrainingTests {
  /// A run's sizes.
  struct Run: Sendable, CustomTestStringConvertible {
    var positions = PositionScheme.learned
    var head = OutputHead.tied
    var batch = 7
    var microBatch = 2
    var groups: Int? = 7
    var blocks: Int?
    var steps = 5
    var clip: Double? = 0.5

    var testDescription: String {
      "\(positions.rawValue), \(head.rawValue), \(batch) by \(microBatch) in \(groups ?? 0), \(blocks ?? 0) blocks"
    }

    var options: TrainingOptions {
      TrainingOptions(
        batch: batch, microBatch: microBatch, gradientGroups: groups,
        vocabularyBlocks: blocks, steps: steps, learningRate: 0.01, warmup: 2, clip: clip, seed: 5)
    }

    func model() throws -> GPT {
      let c = GPTCase(positions: positions, direction: .causal, head: head)
      return try GPT(c.configuration(dim: 12), seed: 3)
    }

    func data() throws -> TrainingData {
      var draws = SeededGenerator(seed: 40)
      return try TrainingData(tokens: draws.ids(211, below: 11), context: 6, validationShare: 0.3)
    }
  }

  /// All that a run comes to.
  struct Outcome: Equatable, Sendable {
    var reports: [StepReport] = []
    var evaluations: [Evaluation] = []
    var parameters: [[UInt32]] = []
  }

  static func finish(
    _ trainer: Trainer, _ data: TrainingData, _ ranks: Communicator?
  ) throws -> Outcome {
    var outcome = Outcome()
    while trainer.stepCount < trainer.options.steps {
      outcome.reports.append(try trainer.step(data))
      outcome.evaluations.append(
        try trainer.model.evaluate(
          data.validation, context: 6, batch: trainer.options.passSequences, threads: 1,
          over: ranks))
    }
    outcome.parameters = trainer.model.parameters.map { $0.values.map(\.bitPattern) }
    return outcome
  }

  static func onRanks<Value: Sendable>(
    _ count: Int, timeOut: Double = 600, _ body: @escaping @Sendable (Communicator) throws -> Value
  ) throws -> [Result<Value, any Error>] {
    let communicators = try Communicator.threads(ranks: count, timeOut: timeOut)
    return onThreads(count) { try body(communicators[$0]) }
  }

  private static let runs =
    PositionScheme.allCases.map { Run(positions: $0) } + [
      Run(head: .untied), Run(microBatch: 7), Run(groups: 1), Run(groups: 2), Run(groups: 3),
      Run(groups: 5), Run(batch: 16, groups: 16, clip: nil), Run(batch: 16, groups: 4),
      // Eleven words: blocks of one and of all, the last one shorter or missing, fewer than ranks.
      Run(blocks: 4), Run(head: .untied, blocks: 11),
      Run(positions: .t5, head: .untied, microBatch: 1, groups: 3, blocks: 7),
      Run(positions: .rope, microBatch: 7, groups: 1, blocks: 1),
      Run(head: .untied, batch: 16, groups: 16, blocks: 2, clip: nil),
    ]

  @Test(arguments: runs) func anyRanksTrainWhatOneDoes(_ run: Run) throws {
    let data = try run.data()
    let alone = try Self.finish(
      Trainer(run.model(), run.options, threads: 2), data, nil)
    #expect(alone.reports.count == 5)
    for ranks in [1, 2, 3, 4, 7] {
      let results = try Self.onRanks(ranks) { communicator in
        try Self.finish(
          Trainer(run.model(), run.options, threads: 1, over: communicator), run.data(),
          communicator)
      }
      for result in results { #expect(try result.get() == alone, "\(ranks) ranks") }
    }
  }

  /// Sums of other groups are the same gradient, but for rounding.
  @Test func groupsChangeRoundingAlone() throws {
    let data = try Run().data()
    let whole = try Trainer(Run().model(), Run(groups: nil).options)
    let first = try whole.step(data)
    for groups in 1...7 {
      let report = try Trainer(Run().model(), Run(groups: groups).options).step(data)
      #expect(abs(report.loss - first.loss) < 1e-6)
      #expect(abs(report.gradientNorm - first.gradientNorm) < 1e-5 * first.gradientNorm)
    }
  }

  @Test func checkpointsAreThoseOfOneProcess() throws {
    let folder = try TemporaryFolder()
    let run = Run(positions: .t5, head: .untied)
    let data = try run.data()
    let alone = try Trainer(run.model(), run.options)
    for _ in 0..<3 { _ = try alone.step(data) }
    try alone.save(to: folder.path("alone"), texts: ["text": "plays"])
    let whole = try Self.finish(alone, data, nil)
    let bytes = try Data(contentsOf: URL(filePath: folder.path("alone")))
    for ranks in [2, 3, 7] {
      let path = folder.path("ranks-\(ranks)")
      let results = try Self.onRanks(ranks) { communicator in
        let trainer = try Trainer(run.model(), run.options, threads: 1, over: communicator)
        let data = try run.data()
        for _ in 0..<3 { _ = try trainer.step(data) }
        try trainer.save(to: path, texts: ["text": "plays"])
      }
      for result in results { try result.get() }
      #expect(try Data(contentsOf: URL(filePath: path)) == bytes, "\(ranks) ranks")
      // On another number of ranks, and on none.
      for others in [1, 2, 4] {
        let ends = try Self.onRanks(others) { communicator in
          let trainer = try Trainer.restore(from: path, threads: 1, over: communicator).trainer
          return try Self.finish(trainer, run.data(), communicator)
        }
        for end in ends { #expect(try end.get() == whole) }
      }
      let trainer = try Trainer.restore(from: path).trainer
      #expect(try Self.finish(trainer, data, nil) == whole)
    }
  }

  /// 24 bytes of a word, 8 a group of losses, each sum to those who step, 96 of squares, what was stepped to all.
  @Test(arguments: [2, 3, 4, 7]) func aStepSendsWhatTheFormulaSays(ranks: Int) throws {
    for groups in [4, 7] {
      let run = Run(groups: groups)
      let results = try Self.onRanks(ranks) { communicator -> (Int, Int) in
        let trainer = try Trainer(run.model(), run.options, threads: 1, over: communicator)
        let data = try run.data()
        _ = try trainer.step(data)
        let start = communicator.bytesSent
        _ = try trainer.step(data)
        let own = Partition.share(groups, ranks, communicator.rank)
        let layout = ParameterLayout(trainer.model.parameters, ranks: ranks)
        let stretch = layout.stretch(of: communicator.rank).count
        let expected =
          (24 + 8 * own.count + 96 + 4 * stretch) * (ranks - 1)
          + 4 * PairTree.sums(of: own).count * (layout.count - stretch)
        return (communicator.bytesSent - start, expected)
      }
      for result in results {
        let (sent, expected) = try result.get()
        #expect(sent == expected)
      }
    }
  }

  // MARK: Faults

  @Test func ranksThatDifferAreRefused() throws {
    func refuses(
      _ fact: String, _ change: @escaping @Sendable (inout Run, Communicator) -> Void
    ) throws {
      let results = try Self.onRanks(3) { communicator in
        var run = Run()
        if communicator.rank == 1 { change(&run, communicator) }
        _ = try Trainer(run.model(), run.options, threads: 1, over: communicator)
      }
      for result in results {
        #expect {
          try result.get()
        } throws: { error in
          guard case .ranks(.disagreement(fact, let values))? = error as? TrainingError else {
            return false
          }
          return values.count == 3 && values[0] == values[2] && values[0] != values[1]
        }
      }
    }
    try refuses("model.head") { run, _ in run.head = .untied }
    try refuses("training.gradient_groups") { run, _ in run.groups = 6 }
    try refuses("training.clip") { run, _ in run.clip = nil }
    let results = try Self.onRanks(2) { communicator in
      let model = try Run().model()
      if communicator.rank == 1 {
        model.parameters[4].table.withMutableSpan { $0[0] += 1 }
      }
      _ = try Trainer(model, Run().options, threads: 1, over: communicator)
    }
    for result in results {
      #expect(throws: TrainingError.self) { try result.get() }
    }
    #expect(throws: TrainingError.self) {
      for result in try Self.onRanks(
        2,
        { communicator in
          _ = try Trainer(Run().model(), Run(groups: nil).options, threads: 1, over: communicator)
        })
      {
        try result.get()
      }
    }
  }

  /// A rank with another text, or with an id that is none, stops all before a parameter moves.
  @Test(arguments: [4, 11] as [Int32]) func batchesThatDifferAreRefused(_ id: Int32) throws {
    let results = try Self.onRanks(3) { communicator -> (Int, Bool) in
      let trainer = try Trainer(Run().model(), Run().options, threads: 1, over: communicator)
      let before = trainer.model.parameters.map(\.values)
      var ids = [Int32](repeating: 3, count: 42)
      // Rank 2 has the last groups.
      if communicator.rank == 2 { ids[41] = id }
      do throws(TrainingError) {
        _ = try trainer.step(ids: ids.span, targets: ids.span)
        return (-1, false)
      } catch {
        let isSame = trainer.model.parameters.map(\.values) == before
        switch error {
        case .ranks(.disagreement("check sum of the batch", _)): return (0, isSame)
        case .model(.tokenOutOfRange): return (1, isSame)
        case .ranks(.refused(rank: 2, _)): return (2, isSame)
        default: return (-2, isSame)
        }
      }
    }
    let found = try results.map { try $0.get() }
    #expect(found.map(\.0) == (id == 11 ? [2, 2, 1] : [0, 0, 0]))
    #expect(found.allSatisfy { $0.1 })
  }

  /// A file that cannot be written is an error of all, and of rank 0 by its name.
  @Test func aCheckpointThatCannotBeWrittenStopsAll() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("none/run")
    let results = try Self.onRanks(3) { communicator -> Bool in
      let trainer = try Trainer(Run().model(), Run().options, threads: 1, over: communicator)
      do throws(TrainingError) {
        try trainer.save(to: path)
        return false
      } catch {
        if case .ranks(.refused(rank: 0, let reason)) = error, communicator.rank > 0 {
          return reason.contains(path)
        }
        if case .file = error { return communicator.rank == 0 }
        return false
      }
    }
    for result in results { #expect(try result.get()) }
  }

  @Test func groupsOutsideTheBatchAreRefused() throws {
    for groups in [0, -1, 8, .max] {
      #expect(throws: EmbedError.self, "\(groups)") {
        try Trainer(Run().model(), Run(groups: groups).options)
      }
    }
  }
}
