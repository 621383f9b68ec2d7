// What a step of training a GPT allocates once it is warm: micro-batches of unequal size, clipping and
// AdamW, for every position scheme in one direction and with one head or the other.

import AllocationCounter
import EmbedKernel
import EmbedTraining

extension AllocationProbe {
  static func probeTraining() throws {
    let tokens = (0..<20_000).map { Int32(($0 * $0 + 3 * $0) % 97) }
    let data = try TrainingData(tokens: tokens, context: 16)
    for (index, positions) in PositionScheme.allCases.enumerated() {
      let isEven = index.isMultiple(of: 2)
      let configuration = GPTConfiguration(
        vocabulary: 97, context: 16, dim: 32, heads: 4, layers: 2, positions: positions,
        direction: index < 3 ? .causal : .bidirectional, head: isEven ? .tied : .untied)
      for (threads, groups) in [(1, nil), (2, nil), (2, 3)] as [(Int, Int?)] {
        let trainer = try Trainer(
          GPT(configuration),
          TrainingOptions(batch: 3, microBatch: 2, gradientGroups: groups, steps: 1_000),
          threads: threads)
        // 250 steps of 375 that a pass over the text has.
        try count(
          "train \(positions.rawValue) step\(groups == nil ? "" : " of groups")", "auto",
          threads: threads, calls: 200
        ) { _ in
          _ = try trainer.step(data)
        }
      }
    }
  }
}
