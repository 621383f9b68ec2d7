// What the loops of the article "Training loops of your own" learn, and what they share: batches, the
// tables that they start from, and the loss.
//
// B batch, T context, N = B*T tokens, V vocabulary, D dim.

import EmbedKernel
import Foundation

/// The next token by its predecessor and its place.
///
/// Tokens stand in pairs, 2k and 2k + 1. The next pair follows from the token, and which of the pair it
/// is from the place alone, by the pattern 0, 0, 1, 1: a token's own place in its pair, which is that
/// of the place before, says nothing about it. So without positions no loss is below ln 2.
struct PairTask {
  let pairs = 8
  let batch = 4
  let context = 8
  let dim = 16

  var vocabulary: Int { 2 * pairs }
  var tokens: Int { batch * context }

  /// A step's ids and targets, both `[batch, context]`.
  func batch(_ step: Int) -> (ids: [Int32], targets: [Int32]) {
    func token(_ sequence: Int, _ place: Int) -> Int32 {
      let pair = (3 * step + sequence + place) % pairs
      return Int32(2 * pair + [1, 0, 0, 1][place % 4])
    }
    let all = (0..<batch).flatMap { b in (0...context).map { (b, $0) } }
    return (
      all.filter { $0.1 < context }.map(token), all.filter { $0.1 > 0 }.map(token)
    )
  }

  /// The tables that each loop starts from: tokens `[V, D]`, positions `[T, D]`, output `[V, D]`.
  func makeTables() throws -> (
    tokens: EmbeddingTable<Float>, positions: EmbeddingTable<Float>, output: EmbeddingTable<Float>
  ) {
    let normal = Initialization.normal(sigma: 0.3)
    return (
      try EmbeddingTable<Float>(rows: vocabulary, dim: dim, normal, seed: 1),
      try EmbeddingTable<Float>(rows: context, dim: dim, normal, seed: 2),
      try EmbeddingTable<Float>(rows: vocabulary, dim: dim, normal, seed: 3)
    )
  }
}

/// Softmax and cross-entropy: the mean loss in nats, and in place of the logits their gradient.
///
/// - Parameters:
///   - logits: Shape `[targets.count, vocabulary]`.
///   - targets: The next token of each row.
func crossEntropy(
  _ logits: inout MutableSpan<Float>, _ targets: [Int32], vocabulary: Int
) -> Double {
  var loss = 0.0
  let share = 1 / Float(targets.count)
  for (n, target) in targets.enumerated() {
    let row = n * vocabulary..<(n + 1) * vocabulary
    let largest = row.reduce(-Float.infinity) { max($0, logits[$1]) }
    let ofTarget = logits[row.lowerBound + Int(target)] - largest
    var sum: Float = 0
    for i in row {
      logits[i] = exp(logits[i] - largest)
      sum += logits[i]
    }
    loss += Double(log(sum) - ofTarget)
    for i in row { logits[i] *= share / sum }
    logits[row.lowerBound + Int(target)] -= share
  }
  return loss / Double(targets.count)
}
