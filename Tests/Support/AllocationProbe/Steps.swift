// What training steps allocate once they are warm: prepare and forward in one, and backward
// and step in one.

import EmbedKernel

extension AllocationProbe {
  static func probeSteps() throws {
    let rate = LearningRate.cosine(peak: 1e-3, warmup: 100, total: 2_000)
    var rules = try UpdateRule.names.map {
      ($0, try UpdateRule.named($0, learningRate: rate, untouched: .left))
    }
    rules.append(
      ("adamw-caught-up", try .adamW(learningRate: rate, untouched: .caughtUp)))
    // 256 tokens of one id, so that there is a heavy row.
    let ids = (0..<1_024).map { Int32($0 % 4 == 0 ? 7 : $0 % 500) }
    let gradient = [Float](repeating: 0.5, count: ids.count * 64)
    for (name, rule) in rules {
      let layer = try InputEmbedding(vocabulary: 500, dim: 64, positions: .learned(maximum: 128))
      let optimizer = try Optimizer(rule, for: layer)
      var output = try layer.makeOutput(batch: 8, context: 128)
      try count("step \(name)", calls: 100) { kernels, _ in
        var span = output.mutableSpan
        try optimizer.forward(ids.span, batch: 8, context: 128, into: &span, using: kernels)
        try optimizer.step(outputGradient: gradient.span, using: kernels)
      }
    }
    // Rows that a layer's own forward pass, or another reader, brings up to date.
    let layer = try InputEmbedding(vocabulary: 500, dim: 64, positions: .learned(maximum: 128))
    let optimizer = try Optimizer(
      .adamW(learningRate: rate, untouched: .caughtUp), for: layer)
    var output = try layer.makeOutput(batch: 8, context: 128)
    var norm = Float(0)
    try count("step adamw-caught-up, unprepared", calls: 100) { kernels, call in
      try layer.forward(ids, batch: 8, context: 128, into: &output, using: kernels)
      try optimizer.step(
        outputGradient: gradient, ids: ids, batch: 8, context: 128, using: kernels)
      let table = layer.tokens.table
      norm += table[call % 500, 3]
      if call % 10 == 0 { norm += table.span[call] }
    }
  }
}
