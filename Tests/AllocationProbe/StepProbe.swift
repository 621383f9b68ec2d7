// What training steps allocate once they are warm: prepare, and backward and step in one.

import AllocationCounter
import EmbedKernel

extension AllocationProbe {
  /// Prints a line for each optimiser, backend and thread count.
  static func probeSteps() throws {
    let rate = LearningRate.cosine(peak: 1e-3, warmup: 100, total: 2_000)
    var rules = try UpdateRule.names.map {
      ($0, try UpdateRule.named($0, learningRate: rate, untouched: .left))
    }
    rules.append(
      ("adamw-caught-up", try .adamW(learningRate: rate, untouched: .caughtUp)))
    // 256 tokens of one id, so that there is a heavy row.
    let ids = (0..<1_024).map { Int32($0 % 4 == 0 ? 7 : $0 % 500) }
    for (name, rule) in rules {
      for backend in Backend.allCases {
        for threads in [1, 2] {
          let layer = try InputEmbedding(
            vocabulary: 500, dim: 64, positions: .learned(maximum: 128))
          let optimizer = try Optimizer(rule, for: layer)
          let kernels = Kernels(backend: backend, threads: threads)
          let gradient = [Float](repeating: 0.5, count: ids.count * 64)
          for _ in 0..<20 { try step(optimizer, ids, gradient, kernels) }
          let before = allocation_count()
          for _ in 0..<100 { try step(optimizer, ids, gradient, kernels) }
          let allocations = allocation_count() - before
          print(allocations, backend.rawValue, threads, name)
        }
      }
    }
  }

  @inline(never)
  private static func step(
    _ optimizer: Optimizer, _ ids: [Int32], _ gradient: [Float], _ kernels: Kernels
  ) throws {
    try optimizer.prepare(ids.span, batch: 8, context: 128, using: kernels)
    try optimizer.step(outputGradient: gradient.span, using: kernels)
  }
}
