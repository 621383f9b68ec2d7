// The head over ranks: bit for bit that of one rank with as many blocks, and the logits' softmax as it is defined.

import EmbedDistributed
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct ShardedHeadTests {
  struct Call: Sendable, CustomTestStringConvertible {
    var vocabulary = 61
    var dim = 12
    var block = 8
    var rows = 37
    var batchRows = 1_000
    var scale: Float = 1
    var weight: Float = 1
    var padding: Int?

    var testDescription: String {
      "\(rows) rows by \(batchRows), \(vocabulary)x\(dim) in blocks of \(block), scale \(scale), \(weight)"
    }

    var hidden: [Float] {
      var random = SeededGenerator(seed: UInt64(rows))
      return random.floats(rows * dim)
    }

    var targets: [Int32] {
      var random = SeededGenerator(seed: UInt64(rows) + 1)
      return (0..<rows).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &random) }
    }

    func layer(_ communicator: Communicator) throws -> ShardedEmbedding {
      try ShardedEmbedding(
        vocabulary: vocabulary, dim: dim, sharding: .rowBlocks(of: block), paddingID: padding,
        initialization: .uniform(low: -1, high: 1), seed: 4, over: communicator)
    }

    /// A rank's rows: uneven, and of the second of four none.
    func range(_ communicator: Communicator) -> Range<Int> {
      var weights = (0..<communicator.size).map { $0 % 3 + 1 }
      if communicator.size == 4 { weights[1] = 0 }
      let sums = weights.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
      let whole = sums[communicator.size]
      return rows * sums[communicator.rank] / whole..<rows * sums[communicator.rank + 1] / whole
    }
  }

  struct Outcome: Sendable, Equatable {
    var losses: [UInt32] = []
    var means: [UInt64] = []
    var hidden: [UInt32] = []
    var table: [Int: [UInt32]] = [:]
  }

  private static func run(_ call: Call, _ communicator: Communicator) throws -> Outcome {
    let layer = try call.layer(communicator)
    let head = try ShardedHead(
      tiedTo: layer, scale: call.scale, threads: 2, batchRows: call.batchRows)
    let range = call.range(communicator)
    let hidden = Array(call.hidden[range.lowerBound * call.dim..<range.upperBound * call.dim])
    let targets = Array(call.targets[range])
    var losses = [Float](repeating: 0, count: range.count)
    var gradient = [Float](repeating: 0, count: hidden.count)
    var table = try head.makeGradient()
    var outcome = Outcome()
    outcome.means.append(
      try head.losses(hidden, targets: targets, rows: range.count, into: &losses).bitPattern)
    for writing in [GradientWriting.overwrite, .accumulate] {
      outcome.means.append(
        try head.gradients(
          hidden, targets: targets, rows: range.count, weight: call.weight, into: &gradient,
          tableGradient: &table, writing
        ).bitPattern)
    }
    outcome.losses = losses.map(\.bitPattern)
    outcome.hidden = gradient.map(\.bitPattern)
    let values = table.values
    for row in 0..<layer.tokens.rowCount {
      outcome.table[layer.tokens.row(row)] = bits(
        values.extracting(row * call.dim..<(row + 1) * call.dim))
    }
    return outcome
  }

  private static let calls = [
    Call(), Call(batchRows: 10), Call(vocabulary: 64, block: 8, rows: 64, batchRows: 16),
    Call(block: 61), Call(block: 100, rows: 3), Call(block: 1, rows: 5),
    Call(scale: 0.25, weight: 3, padding: 9),
    Call(vocabulary: 1_000, dim: 40, block: 96, rows: 200),
  ]

  @Test(arguments: calls) func anyRanksHaveTheSameBits(_ call: Call) throws {
    let alone = try Self.run(call, .alone)
    for ranks in [1, 2, 3, 4, 7] {
      let parts = try values(ranks) { try Self.run(call, $0) }
      #expect(parts.flatMap(\.losses) == alone.losses, "\(ranks) ranks")
      #expect(parts.flatMap(\.hidden) == alone.hidden, "\(ranks) ranks")
      #expect(parts.allSatisfy { $0.means == alone.means })
      let table = parts.reduce(into: [:]) { $0.merge($1.table) { _, _ in [] } }
      #expect(table == alone.table, "\(ranks) ranks")
      #expect(table.count == call.vocabulary)
    }
  }

  @Test(arguments: calls) func gradientsAreSoftmaxsByDefinition(_ call: Call) throws {
    let found = try Self.run(call, .alone)
    let layer = try call.layer(.alone)
    let table = layer.tokens.shard
    let (hidden, targets) = (call.hidden, call.targets)
    // Of a logit's product of D terms, the powers' sum and the rest: k * epsilon * D times the largest sum of
    // absolute terms; table rows are within 1.
    let largest = (hidden.map(abs).max() ?? 0) * Float(call.dim)
    let bound = Double(largest) * Double(call.dim) * 0x1p-24
    let slopeBound = bound * Double(call.weight) * Double(max(1, hidden.map(abs).max() ?? 0))
    var mean = 0.0
    var hiddenGradient = [Double](repeating: 0, count: hidden.count)
    var tableGradient = [Double](repeating: 0, count: call.vocabulary * call.dim)
    for row in 0..<call.rows {
      let logits = (0..<call.vocabulary).map { id in
        Double(call.scale)
          * (0..<call.dim).reduce(0.0) {
            $0 + Double(hidden[row * call.dim + $1]) * Double(table[id, $1])
          }
      }
      let most = logits.max() ?? 0
      let sum = logits.reduce(0) { $0 + exp($1 - most) }
      let loss = log(sum) + most - logits[Int(targets[row])]
      #expect(abs(Double(Float(bitPattern: found.losses[row])) - loss) < bound)
      mean += loss / Double(call.rows)
      for id in 0..<call.vocabulary {
        let one = Int(targets[row]) == id ? 1.0 : 0
        let slope =
          Double(call.weight) / Double(call.rows) * (exp(logits[id] - most) / sum - one)
          * Double(call.scale)
        for column in 0..<call.dim {
          hiddenGradient[row * call.dim + column] += slope * Double(table[id, column])
          tableGradient[id * call.dim + column] += slope * Double(hidden[row * call.dim + column])
        }
      }
    }
    for value in found.means { #expect(abs(Double(bitPattern: value) - mean) < bound) }
    for (value, expected) in zip(found.hidden, hiddenGradient) {
      #expect(abs(Double(Float(bitPattern: value)) - expected) < slopeBound)
    }
    for id in 0..<call.vocabulary {
      let values = try #require(found.table[id])
      for (column, value) in values.enumerated() {
        // Written once and added once.
        let expected = id == call.padding ? 0 : 2 * tableGradient[id * call.dim + column]
        #expect(abs(Double(Float(bitPattern: value)) - expected) < slopeBound)
      }
    }
  }

  /// 32 bytes of a word; targets and states to all; of each block two floats a row, one for targets; sums of hidden
  /// gradients to those whose rows they are.
  @Test(arguments: [2, 3, 4, 7]) func aCallSendsWhatTheFormulaSays(ranks: Int) throws {
    let call = Call()
    let results = try values(ranks) { communicator -> [Int] in
      let head = try ShardedHead(tiedTo: call.layer(communicator), threads: 1)
      let range = call.range(communicator)
      let hidden = Array(call.hidden[range.lowerBound * call.dim..<range.upperBound * call.dim])
      var gradient = hidden
      var table = try head.makeGradient()
      let start = communicator.bytesSent
      _ = try head.gradients(
        hidden, targets: Array(call.targets[range]), rows: range.count, into: &gradient,
        tableGradient: &table)
      let blocks = Partition.share(8, ranks, communicator.rank)
      let n = range.count
      let expected =
        (ranks - 1) * (32 + (4 + 4 * call.dim) * n + (4 + 8 * blocks.count) * call.rows)
        + 4 * PairTree.sums(of: blocks).count * call.dim * (call.rows - n)
      return [communicator.bytesSent - start, expected]
    }
    for result in results { #expect(result[0] == result[1]) }
  }

  @Test func faultsOfOneStopAll() throws {
    let call = Call()
    func outcomes(
      _ body: @escaping @Sendable (ShardedHead, Communicator) throws -> Double
    ) throws -> [DistributedError?] {
      try onRanks(3) { communicator in
        try body(ShardedHead(tiedTo: call.layer(communicator), threads: 1), communicator)
      }.map {
        do {
          _ = try $0.get()
          return nil
        } catch {
          return error as? DistributedError
        }
      }
    }
    for id in [-1, 61, .max] as [Int32] {
      let found = try outcomes { head, communicator in
        var losses = [Float](repeating: 0, count: 1)
        return try head.losses(
          [Float](repeating: 1, count: 12), targets: [communicator.rank == 1 ? id : 3], rows: 1,
          into: &losses)
      }
      guard case .invalid(.tokenOutOfRange(let named, _, _, _))? = found[1] else {
        Issue.record("\(found)")
        continue
      }
      #expect(named == Int64(id))
      for rank in [0, 2] {
        guard case .refused(rank: 1, _)? = found[rank] else {
          Issue.record("\(found)")
          continue
        }
      }
    }
    let weights = try outcomes { head, communicator in
      var gradient = [Float](repeating: 0, count: 12)
      var table = try head.makeGradient()
      return try head.gradients(
        [Float](repeating: 1, count: 12), targets: [3] as [Int32], rows: 1,
        weight: communicator.rank == 2 ? 2 : 1, into: &gradient, tableGradient: &table)
    }
    for error in weights {
      #expect(error == .disagreement(fact: "their weight", values: ["1.0", "1.0", "2.0"]))
    }
    let empty = try outcomes { head, _ in
      var losses: [Float] = []
      return try head.losses([] as [Float], targets: [] as [Int32], rows: 0, into: &losses)
    }
    for error in empty {
      guard case .invalid(.invalidSize)? = error else {
        Issue.record("\(empty)")
        continue
      }
    }
  }

  @Test func tablesWithoutBlocksAreRefused() throws {
    for result in try onRanks(
      2,
      { communicator in
        let layer = try ShardedEmbedding(vocabulary: 9, dim: 4, over: communicator)
        _ = try ShardedHead(tiedTo: layer)
      })
    {
      #expect(throws: DistributedError.self) { try result.get() }
    }
    for size in [0, -3] {
      #expect(throws: DistributedError.self) {
        try ShardedEmbedding(
          vocabulary: 9, dim: 4, sharding: .rowBlocks(of: size), over: .alone)
      }
    }
    for scale in [Float.nan, .infinity] {
      let layer = try ShardedEmbedding(
        vocabulary: 9, dim: 4, sharding: .rowBlocks(of: 3), over: .alone)
      #expect(throws: DistributedError.self) { try ShardedHead(tiedTo: layer, scale: scale) }
    }
  }
}
