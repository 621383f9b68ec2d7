// Evaluation at any length, and sampling.

import EmbedKernel
import EmbedResizing
import EmbedTraining
import Foundation
import ReferenceKernels
import TestSupport
import Testing

@Suite struct EvaluationTests {
  private func drawn(_ positions: PositionScheme, context: Int = 6) throws -> GPT {
    let c = GPTCase(positions: positions, direction: .causal, head: .tied)
    return try GPT.drawn(c.configuration(context: context), seed: 80)
  }

  private static let tokens: [Int32] = {
    var draws = SeededGenerator(seed: 81)
    return draws.ids(100, below: 11)
  }()

  /// Sequences side by side, whatever the batch, and as far as the limit.
  @Test(arguments: PositionScheme.allCases, [nil, 1, 40] as [Int?])
  func lossesAreTheOracles(_ positions: PositionScheme, limit: Int?) throws {
    let model = try drawn(positions)
    let sequences = limit.map { max(1, $0 / 6) } ?? 16
    let expected = try model.reference.run(
      Self.tokens[..<(6 * sequences)].map(Int.init),
      targets: Self.tokens[1...(6 * sequences)].map(Int.init), context: 6)
    let bound = model.bound(batch: sequences, context: 6)
    for batch in [1, 5, 16, 1_000] {
      let found = try model.evaluate(Self.tokens, context: 6, batch: batch, limit: limit)
      #expect(found.sequences == sequences)
      #expect(abs(found.loss - expected.loss) <= bound * expected.loss)
      for t in 0..<6 {
        let mean = (0..<sequences).reduce(0) {
          $0 + expected.losses[$1 * 6 + t] / Double(sequences)
        }
        #expect(abs(found.positionLosses[t] - mean) <= bound * mean, "place \(t)")
      }
    }
  }

  /// Past the trained context: trained rows end, or are interpolated where that is asked for; all
  /// other schemes go on by their formulas.
  @Test(arguments: PositionScheme.allCases)
  func longerContextsFollowTheFormulas(_ positions: PositionScheme) throws {
    let model = try drawn(positions)
    let (ids, targets) = (Self.tokens[..<90], Self.tokens[1...90])
    if positions == .learned {
      let error = TrainingError.model(.contextTooLong(offset: 0, context: 45, maximum: 6))
      #expect(throws: error) { try model.evaluate(Self.tokens, context: 45) }
      #expect(throws: EmbedError.contextTooLong(offset: 0, context: 45, maximum: 6)) {
        try model.extend(to: 45)
      }
    }
    try model.extend(to: 45, interpolation: .linear)
    var reference = try model.reference
    if positions == .learned {
      // Row r of 45 stands at r * 5 / 44 of the 6.
      let rows = reference.parameters["wpe.weight"] ?? []
      #expect(rows.count == 6 * 8, "trained rows stay what they are")
      reference.parameters["wpe.weight"] = (0..<45 * 8).map { i in
        let place = Double(i / 8) * 5 / 44
        let below = min(Int(place), 4)
        let (a, b) = (rows[below * 8 + i % 8], rows[(below + 1) * 8 + i % 8])
        return a + (b - a) * (place - Double(below))
      }
    }
    let expected = reference.run(ids.map(Int.init), targets: targets.map(Int.init), context: 45)
    let found = try model.evaluate(Self.tokens, context: 45)
    let bound = model.bound(batch: 2, context: 45)
    #expect(found.sequences == 2)
    #expect(abs(found.loss - expected.loss) <= bound * expected.loss)
  }

  @Test func wrongEvaluationsAreRefused() throws {
    let model = try drawn(.none)
    #expect(throws: TrainingError.self) { try model.evaluate(Self.tokens, context: 0) }
    #expect(throws: TrainingError.self) { try model.evaluate(Self.tokens, context: 6, batch: 0) }
    #expect(throws: TrainingError.self) { try model.evaluate([1, 2], context: 2) }
    #expect(throws: TrainingError.self) { try model.evaluate([1, 2], context: .max) }
    #expect(throws: TrainingError.self) { try model.evaluate([1, 2, 11, 3], context: 3) }
    #expect(throws: TrainingError.self) { try model.evaluate([1, 2, -1], context: 2) }
  }

  // MARK: Sampling

  @Test func samplingIsSeeded() throws {
    let model = try drawn(.rope)
    func sample(_ seed: UInt64, threads: Int = 1) throws -> [Int32] {
      try model.sample(after: [1, 2], count: 40, Sampling(seed: seed), threads: threads)
    }
    let first = try sample(1)
    #expect(first.count == 40)
    #expect(first.allSatisfy { (0..<11).contains($0) })
    #expect(try sample(1, threads: 2) == first)
    #expect(try sample(2) != first)
  }

  /// The most likely token of the oracle's logits, of the last 6 tokens once there are as many.
  @Test(arguments: [Sampling(temperature: 0), Sampling(topK: 1, seed: 9)])
  func theMostLikelyIsTheOracles(_ sampling: Sampling) throws {
    let model = try drawn(.learned)
    let reference = try model.reference
    var tokens: [Int32] = [4]
    for _ in 0..<12 {
      let seen = tokens.suffix(6).map(Int.init)
      let logits = reference.run(seen, targets: seen, context: seen.count).logits.suffix(11)
      tokens.append(Int32(logits.enumerated().max { $0.element < $1.element }?.offset ?? 0))
    }
    #expect(try model.sample(after: [4], count: 12, sampling) == Array(tokens.dropFirst()))
  }

  /// First tokens of many seeds fall as the softmax says: each count within five deviations.
  @Test(arguments: [Sampling(), Sampling(temperature: 2), Sampling(topK: 3)])
  func sharesAreTheSoftmaxs(_ sampling: Sampling) throws {
    let model = try drawn(.none)
    let logits = try model.reference.run([7], targets: [7], context: 1).logits
    let least = sampling.topK.map { logits.sorted(by: >)[$0 - 1] } ?? -.infinity
    let weights = logits.map { $0 < least ? 0 : exp($0 / sampling.temperature) }
    let total = weights.reduce(0, +)
    var counts = [Double](repeating: 0, count: 11)
    let draws = 2_000
    for seed in 0..<draws {
      var sampling = sampling
      sampling.seed = UInt64(seed)
      counts[Int(try model.sample(after: [7], count: 1, sampling, threads: 1)[0])] += 1
    }
    for token in 0..<11 {
      let share = weights[token] / total
      let deviation = (Double(draws) * share * (1 - share)).squareRoot()
      #expect(
        abs(counts[token] - Double(draws) * share) <= 5 * deviation + 1e-9, "token \(token)")
    }
  }

  /// What is drawn is among the candidates, with the shares of the others' absence; and all candidates
  /// are as none told.
  @Test func onlyCandidatesAreDrawn() throws {
    let model = try drawn(.rope)
    let few: [Int32] = [9, 2, 5, 2]
    for sampling in [
      Sampling(seed: 3), Sampling(temperature: 0), Sampling(topK: 2), Sampling(temperature: 1e3),
    ] {
      let drawn = try model.sample(after: [1], count: 200, sampling, from: few)
      #expect(drawn.count == 200)
      #expect(drawn.allSatisfy { few.contains($0) })
    }
    #expect(try model.sample(after: [1], count: 9, from: [7]) == Array(repeating: 7, count: 9))
    let all = try model.sample(after: [1, 2], count: 40, Sampling(seed: 1))
    #expect(
      try model.sample(after: [1, 2], count: 40, Sampling(seed: 1), from: Array(0..<11)) == all)
    for wrong in [[], [11], [3, -1]] as [[Int32]] {
      #expect(throws: TrainingError.self) { try model.sample(after: [1], count: 1, from: wrong) }
    }
  }

  /// The window grows with what is seen, and then slides.
  @Test func aLongSampleIsThatOfASmallWindow() throws {
    let model = try drawn(.alibi, context: 300)
    let long = try model.sample(after: [4], count: 400, Sampling(seed: 5), threads: 1)
    #expect(long.count == 400)
    let first = try model.sample(after: [4], count: 30, Sampling(seed: 5), threads: 1)
    #expect(Array(long.prefix(30)) == first)
  }

  @Test func logitsThatAreNoNumbersAreAnError() throws {
    let model = try drawn(.none)
    model.parameters[0].table.withMutableSpan { $0[5 * 8] = .nan }
    #expect(throws: TrainingError.self) { try model.sample(after: [1], count: 1) }
    #expect(try model.sample(after: [1], count: 20, from: [1, 2]).count == 20)
  }

  @Test func wrongSamplingsAreRefused() throws {
    let model = try drawn(.none)
    #expect(throws: TrainingError.self) { try model.sample(after: [1], count: .max) }
    #expect(throws: TrainingError.self) { try model.sample(after: [1], count: 1 << 31) }
    for sampling in [
      Sampling(temperature: -1), Sampling(temperature: .nan), Sampling(temperature: .infinity),
      Sampling(topK: 0),
    ] {
      #expect(throws: TrainingError.self) { try model.sample(after: [1], count: 1, sampling) }
    }
    #expect(throws: TrainingError.self) { try model.sample(after: [], count: 1) }
    #expect(throws: TrainingError.self) { try model.sample(after: [1], count: -1) }
    #expect(throws: TrainingError.self) { try model.sample(after: [11], count: 1) }
    #expect(throws: TrainingError.self) { try model.sample(after: [-1], count: 1) }
    #expect(try model.sample(after: [1], count: 0).isEmpty)
  }
}
