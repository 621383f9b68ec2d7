// Three steps of exact-lazy AdamW on one global batch, with and without ranks.
//
// B sequences, T context, D dim.

import EmbedDistributed
import EmbedKernel

struct Steps {
  let vocabulary = 1_009
  let dim = 48
  let batch = 9
  let context = 70
  let steps = 3

  private func rule() throws -> UpdateRule {
    try .adamW(
      learningRate: .cosine(peak: 0.05, warmup: 1, total: 9), weightDecay: 0.1, untouched: .caughtUp
    )
  }

  /// Ids of which a few are frequent, so that rows have more tokens than one run of a sum, and a gradient.
  private func batch(_ step: Int) -> (ids: [Int32], gradient: [Float]) {
    let words = Philox4x32(seed: UInt64(step) + 1)
    let ids = (0..<batch * context).map { token -> Int32 in
      let word = words.block(UInt64(token)).x
      return Int32(word % 3 == 0 ? word / 3 % UInt32(vocabulary) : word / 3 % 4)
    }
    let gradient = (0..<batch * context * dim).map { element -> Float in
      let word = words.block(UInt64(element), stream: 1).x
      return (Float(word >> 8) * 0x1p-24 - 0.5) * Float(1 << (word & 7))
    }
    return (ids, gradient)
  }

  private func bytes(_ floats: Span<Float>) -> [UInt8] {
    unsafe floats.withUnsafeBytes { unsafe Array($0) }
  }

  func alone() throws -> [UInt8] {
    let layer = try InputEmbedding(
      vocabulary: vocabulary, dim: dim, positions: .learned(maximum: context), scale: .sqrtDim,
      paddingID: 2, seed: 3)
    let optimizer = try Optimizer(rule(), for: layer)
    var gradient = try layer.makeGradient()
    var output = try layer.makeOutput(batch: batch, context: context)
    var result: [UInt8] = []
    for step in 0..<steps {
      let (ids, outputGradient) = batch(step)
      try optimizer.forward(ids, batch: batch, context: context, into: &output)
      result += bytes(output.span)
      try layer.backward(
        outputGradient, ids: ids, batch: batch, context: context, into: &gradient)
      try optimizer.step(gradient, scale: 0.5)
      // As a checkpoint does, which `run` writes here.
      if step == steps - 2 {
        try optimizer.tokens.synchronise()
        try optimizer.positions?.synchronise()
      }
    }
    guard let positions = layer.positions else { return result }
    let tokens = layer.tokens.table
    return result + bytes(tokens.span) + bytes(positions.span)
  }

  /// - Parameter folder: Where a checkpoint is left after all but the last step, and with `resume` found.
  func run(
    _ communicator: Communicator, _ sharding: Sharding, resume: Bool, folder: String?
  ) throws -> [UInt8] {
    let layer = try ShardedEmbedding(
      vocabulary: vocabulary, dim: dim, sharding: sharding, positions: .learned(maximum: context),
      scale: .sqrtDim, paddingID: 2, seed: 3, over: communicator)
    let optimizer = try ShardedOptimizer(rule(), for: layer)
    if resume, let folder { try layer.restore(from: folder, optimizer: optimizer) }
    var gradient = try layer.makeGradient()
    let first = communicator.rank * batch / communicator.size
    let count = (communicator.rank + 1) * batch / communicator.size - first
    var output = try layer.makeOutput(batch: count, context: context)
    var result: [UInt8] = []
    var norms: [Double] = []
    for step in (resume ? steps - 1 : 0)..<steps {
      let (allIDs, allGradients) = batch(step)
      let ids = Array(allIDs[first * context..<(first + count) * context])
      let part = Array(allGradients[first * context * dim..<(first + count) * context * dim])
      try layer.forward(ids, batch: count, context: context, into: &output)
      result += try communicator.gather(bytes: bytes(output.span)).flatMap { $0 }
      try layer.backward(part, ids: ids, batch: count, context: context, into: &gradient)
      norms.append(try layer.norm(of: gradient))
      try optimizer.step(gradient, scale: 0.5)
      guard step == steps - 2 else { continue }
      if let folder {
        try layer.save(to: folder, optimizer: optimizer)
      } else {
        try optimizer.tokens.synchronise()
        try optimizer.positions?.synchronise()
      }
    }
    for table in [layer.tokens, layer.positions].compactMap({ $0 }) {
      let whole = try table.gathered()
      result += bytes(whole.span)
    }
    if communicator.rank == 0 {
      print("norms \(norms.map { String($0.bitPattern, radix: 16) }.joined(separator: " "))")
    }
    return result
  }
}
