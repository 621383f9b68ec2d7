// The head divided over ranks: the loss and gradients of the whole one, the bytes that it sends, and what is refused.

import EmbedDistributed
import EmbedKernel
import EmbedTraining
import TestSupport
import Testing

@Suite struct DividedHeadTests {
  typealias Run = RankTrainingTests.Run

  /// Sums of other blocks are the same loss and gradient, but for rounding.
  @Test(arguments: OutputHead.allCases, [1, 2, 7])
  func blocksChangeRoundingAlone(head: OutputHead, groups: Int) throws {
    let data = try Run().data()
    let whole = try Trainer(Run(head: head, groups: groups).model(), Run(groups: groups).options)
    var reports: [StepReport] = []
    for _ in 0..<5 { reports.append(try whole.step(data)) }
    for blocks in [1, 2, 3, 6, 11] {
      let run = Run(head: head, groups: groups, blocks: blocks)
      let trainer = try Trainer(run.model(), run.options)
      for expected in reports {
        let report = try trainer.step(data)
        #expect(abs(report.loss - expected.loss) < 1e-5, "\(blocks) blocks")
        #expect(abs(report.gradientNorm - expected.gradientNorm) < 1e-4 * expected.gradientNorm)
      }
      for (made, expected) in zip(trainer.model.parameters, whole.model.parameters) {
        #expect(made.name == expected.name)
        for (a, b) in zip(made.values, expected.values) { #expect(abs(a - b) < 2e-3) }
      }
    }
  }

  /// 24 bytes of a word, 1 of whether gradients were made, 96 of squares and what was stepped, as ever; the sums without
  /// a head of its own; and the head: words, targets and states, what blocks say, sums of hidden gradients, and
  /// the table's gradient to those who step it.
  @Test(arguments: [2, 3, 4, 7], OutputHead.allCases)
  func aStepSendsWhatTheFormulaSays(ranks: Int, head: OutputHead) throws {
    for (groups, blocks) in [(4, 4), (7, 11), (3, 1)] {
      let run = Run(head: head, groups: groups, blocks: blocks)
      let results = try RankTrainingTests.onRanks(ranks) { communicator -> (Int, Int) in
        let trainer = try Trainer(run.model(), run.options, threads: 1, over: communicator)
        let data = try run.data()
        _ = try trainer.step(data)
        let start = communicator.bytesSent
        _ = try trainer.step(data)
        return (communicator.bytesSent - start, Self.bytes(run, trainer.model, communicator))
      }
      for result in results {
        let (sent, expected) = try result.get()
        #expect(sent == expected, "\(groups) groups, \(blocks) blocks")
      }
    }
  }

  private static func bytes(_ run: Run, _ model: GPT, _ ranks: Communicator) -> Int {
    let (rank, others) = (ranks.rank, ranks.size - 1)
    let (dim, vocabulary, context) = (12, 11, 6)
    let groups = Partition.share(run.groups ?? 0, ranks.size, rank)
    let sequences = groups.reduce(0) {
      $0 + Partition.share(run.batch, run.groups ?? 0, $1).count
    }
    // A head of its own is stepped last, and is in no group's sum.
    let isTied = run.head == .tied
    let parameters =
      isTied
      ? model.parameters
      : model.parameters.filter { $0.name != "lm_head.weight" }
        + model.parameters.filter { $0.name == "lm_head.weight" }
    let layout = ParameterLayout(parameters, ranks: ranks.size)
    let stretch = layout.stretch(of: rank)
    let summed = 0..<(isTied ? layout.count : layout.count - vocabulary * dim)
    let start = isTied ? 0 : summed.upperBound
    let size = (vocabulary - 1) / (run.blocks ?? 1) + 1
    let count = (vocabulary - 1) / size + 1
    let blocks = Partition.share(count, ranks.size, rank)
    let rows =
      start + min(vocabulary, blocks.lowerBound * size) * dim..<start + min(
        vocabulary, blocks.upperBound * size) * dim
    let (all, own) = (run.batch * context, sequences * context)
    let words = (24 + 1 + 96 + 4 * stretch.count) * others
    let sums =
      4 * PairTree.sums(of: groups).count * (summed.count - stretch.clamped(to: summed).count)
    let head =
      (32 + (4 + 4 * dim) * own + (4 + 8 * blocks.count) * all) * others
      + 4 * PairTree.sums(of: blocks).count * dim * (all - own)
    return words + sums + head + 4 * (rows.count - rows.clamped(to: stretch).count)
  }

  @Test func whatCannotBeIsRefused() throws {
    func refuses(_ run: Run, _ reason: String) {
      #expect {
        _ = try Trainer(run.model(), run.options)
      } throws: {
        guard let error = $0 as? EmbedError else { return false }
        return "\(error)".contains(reason)
      }
    }
    refuses(Run(blocks: 0), "vocabulary blocks")
    refuses(Run(blocks: -3), "vocabulary blocks")
    refuses(Run(blocks: 12), "11")
    refuses(Run(blocks: .max), "11")
    refuses(Run(groups: nil, blocks: 2), "gradient groups")
    let results = try RankTrainingTests.onRanks(3) { communicator in
      let run = Run(blocks: communicator.rank == 1 ? 3 : 4)
      _ = try Trainer(run.model(), run.options, threads: 1, over: communicator)
    }
    for result in results {
      #expect {
        try result.get()
      } throws: {
        $0 as? TrainingError
          == .ranks(.disagreement(fact: "training.vocabulary_blocks", values: ["4", "3", "4"]))
      }
    }
    let tooMany = try RankTrainingTests.onRanks(2) { communicator in
      _ = try Trainer(Run().model(), Run(blocks: 12).options, threads: 1, over: communicator)
    }
    for result in tooMany { #expect(throws: TrainingError.self) { try result.get() } }
  }

  /// An id that is none, or a loss that is no number, stops all before a parameter moves.
  @Test func faultsOfAStepStopAll() throws {
    let run = Run(blocks: 4)
    let results = try RankTrainingTests.onRanks(3) { communicator -> [Bool] in
      let trainer = try Trainer(run.model(), run.options, threads: 1, over: communicator)
      let before = trainer.model.parameters.map(\.values)
      var ids = [Int32](repeating: 3, count: 42)
      if communicator.rank == 2 { ids[41] = 11 }
      var found: [Bool] = []
      do throws(TrainingError) {
        _ = try trainer.step(ids: ids.span, targets: ids.span)
      } catch {
        switch error {
        case .model(.tokenOutOfRange(id: 11, _, position: 5, vocabulary: 11)):
          found.append(communicator.rank == 2)
        case .ranks(.refused(rank: 2, _)): found.append(communicator.rank != 2)
        default: found.append(false)
        }
      }
      found.append(trainer.model.parameters.map(\.values) == before)
      // The trainer serves on.
      ids[41] = 3
      found.append(try trainer.step(ids: ids.span, targets: ids.span).loss.isFinite)
      return found
    }
    for result in results { #expect(try result.get() == [true, true, true]) }
  }
}
