// The plain loops' gradients against central differences of the plain loops.

import ReferenceKernels
import Testing

@Suite struct RowReferenceTests {
  static let lengths = [1, 2, 7, 17, 64]

  /// The largest difference between `slopes` and the central differences of `value` at `x`.
  private func distance(_ slopes: [Double], _ x: [Double], _ value: ([Double]) -> Double) -> Double
  {
    let step = 1e-5
    return x.indices.map { i in
      var (up, down) = (x, x)
      up[i] += step
      down[i] -= step
      return abs((value(up) - value(down)) / (2 * step) - slopes[i])
    }.max() ?? 0
  }

  private func dot(_ a: [Double], _ b: [Double]) -> Double {
    a.indices.reduce(0) { $0 + a[$1] * b[$1] }
  }

  // Step^2 times third derivatives, and the roundings of values below 100 over the step: under 1e-8.
  // A normalised row of one element is nearly 0 whatever its deviation, and steep.
  @Test(arguments: lengths) func layerNorm(dim: Int) {
    let x = rowSamples(dim, seed: 21).doubles, gamma = rowSamples(dim, seed: 22).doubles
    let beta = rowSamples(dim, seed: 23).doubles, upper = rowSamples(dim, seed: 24).doubles
    let norm = Reference.layerNorm(x, gamma: gamma, beta: beta, epsilon: 0.01)
    let slopes = Reference.layerNormBackward(
      upper, x: x, gamma: gamma, mean: norm.mean, rstd: norm.rstd)
    let far = distance(slopes, x) {
      dot(upper, Reference.layerNorm($0, gamma: gamma, beta: beta, epsilon: 0.01).output)
    }
    #expect(far < 1e-7)
  }

  @Test func gelu() {
    let x = rowSamples(200, seed: 25, in: -6...6).doubles
    for v in x {
      #expect(distance([Reference.geluSlope(v)], [v]) { Reference.gelu($0[0]) } < 1e-8)
    }
  }

  @Test(arguments: lengths) func softmax(count: Int) {
    let x = rowSamples(count, seed: 26).doubles, upper = rowSamples(count, seed: 27).doubles
    let slopes = Reference.softmaxBackward(Reference.softmax(x), upper)
    #expect(distance(slopes, x) { dot(upper, Reference.softmax($0)) } < 1e-8)
  }

  @Test(arguments: lengths) func crossEntropy(count: Int) {
    let x = rowSamples(count, seed: 28).doubles
    let slopes = Reference.crossEntropyGradient(x, target: count / 2)
    #expect(distance(slopes, x) { Reference.crossEntropy($0, target: count / 2) } < 1e-8)
  }
}
