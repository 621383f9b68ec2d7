// The tree by which groups' gradients are summed, and the parts of parameters that ranks step: the same sums
// and every row once, whatever the number of ranks.

import EmbedDistributed
import EmbedKernel
import EmbedTraining
import TestSupport
import Testing

@Suite struct PairTreeTests {
  /// What a sequence of sums comes to, as a text of its additions.
  private static func text(_ sums: [PairSum], _ leaves: [String]) -> String {
    var values = leaves
    for addition in PairTree.additions(sums) {
      values[addition.to] = "(\(values[addition.to])+\(values[addition.from]))"
    }
    return values[0]
  }

  /// The tree by its definition: a sum of 2^level groups is that of its halves.
  private static func tree(_ start: Int, _ level: Int, _ groups: Int) -> String {
    guard level > 0 else { return "\(start)" }
    let left = tree(start, level - 1, groups)
    let middle = start + 1 << (level - 1)
    return middle < groups ? "(\(left)+\(tree(middle, level - 1, groups)))" : left
  }

  @Test func anyRanksMakeTheSameSums() {
    for groups in 1...40 {
      var level = 0
      while 1 << level < groups { level += 1 }
      let expected = Self.tree(0, level, groups)
      for ranks in 1...9 {
        let sums = (0..<ranks).flatMap { rank in
          PairTree.sums(of: Partition.share(groups, ranks, rank))
        }
        // A rank's own sums are trees too.
        let leaves = sums.map { sum in
          Self.tree(sum.start, sum.level, sum.start + 1 << sum.level)
        }
        #expect(Self.text(sums, leaves) == expected, "\(groups) groups on \(ranks) ranks")
      }
    }
  }

  @Test(arguments: PositionScheme.allCases) func everyRowHasOneRank(_ positions: PositionScheme)
    throws
  {
    let c = GPTCase(positions: positions, direction: .causal, head: .untied)
    let model = try GPT(c.configuration())
    for ranks in [1, 2, 3, 4, 7, 64, 300] {
      let layout = ParameterLayout(model.parameters, ranks: ranks)
      #expect(layout.count == model.parameterCount)
      var rows = model.parameters.map { [Int](repeating: 0, count: $0.table.rows) }
      var place = 0
      for rank in 0..<ranks {
        #expect(layout.stretch(of: rank).lowerBound == place)
        for part in layout.parts(of: rank) {
          #expect(part.place == place)
          for row in part.rows { rows[part.parameter][row] += 1 }
          place += part.rows.count * model.parameters[part.parameter].table.dim
        }
      }
      #expect(place == layout.count)
      #expect(rows.allSatisfy { $0.allSatisfy { $0 == 1 } })
    }
  }
}
