// What calls on bags allocate once they are warm: each pool forward, backward and stepped, with bags of
// several lengths and one that is cut by columns.

import EmbedKernel
import EmbedRows

extension AllocationProbe {
  static func probeBags() throws {
    for (name, lengths, dim) in [
      ("ragged", [3, 0, 40, 1, 7], 64), ("huge", [2, 4_000, 1], 128), ("none", [0, 0], 8),
    ] {
      let n = lengths.reduce(0, +)
      let ids = (0..<n).map { Int32(($0 * 37) % 500) }
      let weights = [Float](repeating: 0.5, count: n)
      let gradientOfOutput = [Float](repeating: 1, count: lengths.count * dim)
      var output = gradientOfOutput
      var ofWeights = weights
      var winners = [Int32](repeating: -1, count: output.count)
      let table = try EmbeddingTable<Float>(rows: 500, dim: dim)
      let optimizer = try TableOptimizer(
        .rowWiseAdagrad(learningRate: .constant(0.1)), for: table)
      var workspace = try BagWorkspace()
      var gradient = try RowSparseGradient(rows: 500, dim: dim)
      for pool in BagPool.allCases {
        try count("bag \(pool.rawValue) \(name)") { kernels, _ in
          try kernels.bag(
            ids: ids, in: .lengths(lengths), tokens: table, pool: pool, into: &output)
        }
        guard pool != .max else { continue }
        try count("bag backward \(pool.rawValue) \(name)") { kernels, _ in
          try kernels.bagBackward(
            gradientOfOutput, ids: ids, in: .lengths(lengths), rows: 500, dim: dim, pool: pool,
            tokens: .rowSparse(&gradient), workspace: &workspace)
        }
        try count("bag step \(pool.rawValue) \(name)") { kernels, _ in
          try optimizer.step(
            bagGradient: gradientOfOutput, ids: ids, in: .lengths(lengths), pool: pool,
            using: kernels, workspace: &workspace)
        }
      }
      try count("bag weighted \(name)") { kernels, _ in
        try kernels.bag(
          ids: ids, in: .lengths(lengths), weights: weights, tokens: table, pool: .sum,
          into: &output)
        try kernels.bagWeightGradient(
          gradientOfOutput, ids: ids, in: .lengths(lengths), tokens: table, into: &ofWeights)
      }
      try count("bag winners \(name)") { kernels, _ in
        try kernels.bag(
          maximumOf: ids, in: .lengths(lengths), tokens: table, into: &output, winners: &winners)
        try kernels.bagBackward(
          gradientOfOutput, ids: ids, in: .lengths(lengths), winners: winners, rows: 500, dim: dim,
          pool: .max, tokens: .rowSparse(&gradient), workspace: &workspace)
      }
    }
  }
}
