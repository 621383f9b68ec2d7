// What a pass without gradients gives, against the oracle in Double: losses place by place, the last
// normalisation's rows and the last token's logits.

import EmbedKernel
import EmbedTraining
import ReferenceKernels
import Testing

@Suite struct GPTForwardTests {
  private func expectClose(_ actual: [Float], _ expected: [Double], _ bound: Double, _ what: String)
  {
    #expect(actual.count == expected.count, "\(what)")
    let largest = expected.map { abs($0) }.max() ?? 0
    for i in 0..<min(actual.count, expected.count) {
      #expect(
        abs(Double(actual[i]) - expected[i]) <= bound * largest,
        "\(what)[\(i)]: \(actual[i]) instead of \(expected[i])")
    }
  }

  @Test(arguments: GPTCase.all, [GPTWorkspace.Purpose.training, .evaluation])
  func lossesRowsAndLogitsAreTheOracles(_ c: GPTCase, purpose: GPTWorkspace.Purpose) throws {
    let configuration = c.configuration(vocabulary: 23, context: 21, dim: 12, heads: 3)
    let model = try GPT.drawn(configuration, seed: 20)
    let workspace = try GPTWorkspace(for: model, batch: 3, context: 21, purpose: purpose)
    let reference = try model.reference
    for (batch, context) in [(3, 21), (2, 7), (1, 1)] {
      let data = GPTBatch(configuration, batch: batch, context: context, seed: 21)
      let expected = data.run(reference)
      let bound = model.bound(batch: batch, context: context)

      let loss = try model.loss(
        data.ids.span, targets: data.targets.span, batch: batch, context: context, in: workspace)
      #expect(abs(loss - expected.loss) <= bound * expected.loss)

      // Added to what is there.
      var sums = [Double](repeating: 1, count: context)
      var sumSpan = sums.mutableSpan
      try model.addLosses(
        data.ids.span, targets: data.targets.span, batch: batch, context: context, to: &sumSpan,
        in: workspace)
      for t in 0..<context {
        let exact = (0..<batch).reduce(1) { $0 + expected.losses[$1 * context + t] }
        #expect(abs(sums[t] - exact) <= bound * exact, "place \(t)")
      }

      var hidden = [Float](repeating: .nan, count: expected.hidden.count)
      var hiddenSpan = hidden.mutableSpan
      try model.hidden(
        data.ids.span, batch: batch, context: context, into: &hiddenSpan, in: workspace)
      expectClose(hidden, expected.hidden, bound, "hidden")

      var logits = [Float](repeating: .nan, count: batch * 23)
      var logitSpan = logits.mutableSpan
      try model.lastLogits(
        data.ids.span, batch: batch, context: context, into: &logitSpan, in: workspace)
      var last: [Double] = []
      for sequence in 1...batch {
        last += expected.logits[..<(sequence * context * 23)].suffix(23)
      }
      expectClose(logits, last, bound, "logits")
    }
  }

  /// Without positions and mask, two orders of the same words give the same mean of rows; any scheme
  /// tells them apart.
  @Test(arguments: PositionScheme.allCases)
  func orderShowsWithPositionsAlone(_ positions: PositionScheme) throws {
    let c = GPTCase(positions: positions, direction: .bidirectional, head: .tied)
    let model = try GPT.drawn(c.configuration(context: 8), seed: 22)
    let workspace = try GPTWorkspace(for: model, batch: 2, context: 8, purpose: .evaluation)
    let words: [Int32] = [3, 1, 4, 1, 5, 9, 2, 6]
    let ids = words + [1, 9, 2, 3, 5, 6, 4, 1]
    var hidden = [Float](repeating: 0, count: 16 * 8)
    var span = hidden.mutableSpan
    try model.hidden(ids.span, batch: 2, context: 8, into: &span, in: workspace)
    var largest = 0.0
    for i in 0..<8 {
      var difference = 0.0
      for t in 0..<8 { difference += Double(hidden[t * 8 + i]) - Double(hidden[(8 + t) * 8 + i]) }
      largest = max(largest, abs(difference / 8))
    }
    if positions == .none {
      #expect(largest <= 2 * model.bound(batch: 1, context: 8))
    } else {
      #expect(largest > 1e-3)
    }
  }

  /// A causal model's rows know nothing of what comes after them.
  @Test(arguments: PositionScheme.allCases)
  func causalRowsDoNotSeeAhead(_ positions: PositionScheme) throws {
    let c = GPTCase(positions: positions, direction: .causal, head: .tied)
    let model = try GPT.drawn(c.configuration(context: 70), seed: 23)
    let workspace = try GPTWorkspace(for: model, batch: 1, context: 70, purpose: .evaluation)
    let data = GPTBatch(model.configuration, batch: 1, context: 70, seed: 24)
    var changed = data.ids
    changed[66] = (changed[66] + 1) % 11
    var rows: [[Float]] = []
    for ids in [data.ids, changed] {
      var hidden = [Float](repeating: 0, count: 70 * 8)
      var span = hidden.mutableSpan
      try model.hidden(ids.span, batch: 1, context: 70, into: &span, in: workspace)
      rows.append(hidden)
    }
    #expect(rows[0][..<(66 * 8)] == rows[1][..<(66 * 8)])
    #expect(rows[0][(66 * 8)...] != rows[1][(66 * 8)...])
  }
}
