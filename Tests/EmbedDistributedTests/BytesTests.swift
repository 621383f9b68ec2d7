// What a step sends, against the formula, to the byte.

import EmbedDistributed
import EmbedKernel
import TestSupport
import Testing

@Suite struct BytesTests {
  /// The bytes of the word that ranks give each other before a call's data.
  static let word = 88

  @Test(arguments: [2, 3, 4], ShardedEmbeddingTests.shardings)
  func aStepSendsWhatTheFormulaSays(ranks: Int, sharding: Sharding) throws {
    for order in GradientOrder.allCases {
      let run = Run(
        vocabulary: 61, dim: 12, batch: 8, context: 10, sharding: sharding, positions: .none,
        padding: 3)
      let (ids, gradient) = run.step(0)
      // Each rank's number of rows of each other that its batch reads, and of tokens; the padding's gradient
      // stays.
      let results = try values(ranks) { communicator -> (sent: [Int], expected: [Int]) in
        let layer = try run.sharded(communicator)
        let rows = run.rows(communicator)
        let own = Array(ids[rows.lowerBound * 10..<rows.upperBound * 10])
        let part = Array(gradient[rows.lowerBound * 120..<rows.upperBound * 120])
        var output = try layer.makeOutput(batch: rows.count, context: 10)
        var result = try layer.makeGradient()
        let start = communicator.bytesSent
        try layer.forward(own, batch: rows.count, context: 10, into: &output)
        let middle = communicator.bytesSent
        try layer.backward(
          part, ids: own, batch: rows.count, context: 10, into: &result, order: order)
        let end = communicator.bytesSent
        let exchanges = communicator.exchangeCount
        try layer.forward(own, batch: rows.count, context: 10, into: &output)
        #expect(communicator.exchangeCount == exchanges + 3)

        func owner(_ id: Int32) throws -> Int {
          try #require(
            (0..<ranks).first {
              Self.rowsOf(run, rank: $0, ranks: ranks, sharding).contains(Int(id))
            })
        }
        let different = Set(own)
        let me = communicator.rank
        var forward = (ranks - 1) * Self.word
        var backward = (ranks - 1) * Self.word
        let graded = own.filter { $0 != 3 }
        for peer in 0..<ranks where peer != me {
          let theirs = Set(
            ids[
              run.rows(of: peer, ranks).lowerBound * 10..<run.rows(of: peer, ranks).upperBound * 10]
          )
          if sharding == .columns {
            forward += different.count * 4 + theirs.count * layer.tokens.columns.count * 4
            let rows = order == .tokens ? graded.count : different.subtracting([3]).count
            backward += rows * (4 + Self.columns(12, ranks, peer) * 4)
          } else {
            forward += try different.filter { try owner($0) == peer }.count * 4
            forward += try theirs.filter { try owner($0) == me }.count * 12 * 4
            let rows =
              order == .tokens
              ? try graded.filter { try owner($0) == peer }.count
              : try different.subtracting([3]).filter { try owner($0) == peer }.count
            backward += rows * (4 + 12 * 4)
          }
        }
        return ([middle - start, end - middle], [forward, backward])
      }
      for (sent, expected) in results {
        #expect(sent == expected, "\(ranks) ranks, \(sharding), \(order)")
      }
    }
  }

  private static func columns(_ dim: Int, _ ranks: Int, _ rank: Int) -> Int {
    dim / ranks + (rank < dim % ranks ? 1 : 0)
  }

  /// The rows that a rank has, from a layer's own word.
  private static func rowsOf(
    _ run: Run, rank: Int, ranks: Int, _ sharding: Sharding
  ) -> Set<Int> {
    ownership(run.vocabulary, ranks, sharding)[rank]
  }

  private static func ownership(
    _ vocabulary: Int, _ ranks: Int, _ sharding: Sharding
  ) -> [Set<Int>] {
    (0..<ranks).map { rank in
      let partition = Partition(rows: vocabulary, dim: 1, ranks: ranks, sharding)
      return Set((0..<partition.rowCount(of: rank)).map { partition.row($0, of: rank) })
    }
  }
}

extension Run {
  fileprivate func rows(of rank: Int, _ ranks: Int) -> Range<Int> {
    rank * batch / ranks..<(rank + 1) * batch / ranks
  }
}
