// The example of the documentation's "Adding a scheme", compiled and run: a bias of one's own is one
// type with a formula, and has then every backend, element type, mask and kind of position.

import EmbedKernel
import Testing

/// A bias that is 0 within a window of distances and falls by `slope` for each step beyond it.
struct WindowedPenalty: DistanceBias {
  let window: Int
  let slope: Double

  var name: String { "windowed-penalty" }
  var heads: Int? { nil }

  func value(head: Int, distance: Int) -> Double {
    -slope * Double(max(0, abs(distance) - window))
  }
}

@Suite struct AddingASchemeTests {
  @Test func aFormulaIsAScheme() throws {
    let bias = try DistanceTable(WindowedPenalty(window: 2, slope: 0.5))
    let shape = AttentionShape(batch: 1, heads: 2, queries: 4, keys: 4)
    var logits = [Float](repeating: 1, count: 2 * 4 * 4)
    var span = logits.mutableSpan
    try Kernels.auto.addBias(bias, to: &span, shape: shape, mask: .causal)
    let hidden = -Float.infinity
    let (first, last): ([Float], [Float]) = ([1, hidden, hidden, hidden], [0.5, 1, 1, 1])
    expectSameBits(Array(logits[0..<4]), first, "first row")
    expectSameBits(Array(logits[12..<16]), last, "last row")
    // Without a table it is the same, a formula a logit.
    var slow = [BFloat16](repeating: BFloat16(1), count: 2 * 4 * 4)
    var slowSpan = slow.mutableSpan
    try Kernels.simd.addBias(bias.formula, to: &slowSpan, shape: shape, mask: .causal)
    expectSameBits(slow.map(\.float), logits, "without a table")
  }
}
