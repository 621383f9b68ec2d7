// What a transformer does to a row, by plain loops in Double, forward and backward.

import Foundation

/// A normalised row and its statistics.
public struct ReferenceNormalRow: Sendable {
  /// Scaled by gamma, beta added.
  public let output: [Double]
  /// Of the row.
  public let mean: Double
  /// 1 over the deviation.
  public let rstd: Double
}

extension Reference {
  /// (x - mean) / sqrt(variance + epsilon) * gamma + beta
  public static func layerNorm(
    _ x: [Double], gamma: [Double], beta: [Double], epsilon: Double
  ) -> ReferenceNormalRow {
    let mean = x.reduce(0, +) / Double(x.count)
    let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count)
    let rstd = 1 / (variance + epsilon).squareRoot()
    let output = x.indices.map { (x[$0] - mean) * rstd * gamma[$0] + beta[$0] }
    return ReferenceNormalRow(output: output, mean: mean, rstd: rstd)
  }

  /// The gradient of `x` where `gradient` is that of the output. (Gamma's is gradient times the
  /// normalised x, beta's is the gradient.)
  public static func layerNormBackward(
    _ gradient: [Double], x: [Double], gamma: [Double], mean: Double, rstd: Double
  ) -> [Double] {
    let normal = x.map { ($0 - mean) * rstd }
    let scaled = x.indices.map { gradient[$0] * gamma[$0] }
    let shift = scaled.reduce(0, +) / Double(x.count)
    let share = x.indices.reduce(0) { $0 + scaled[$1] * normal[$1] } / Double(x.count)
    return x.indices.map { rstd * (scaled[$0] - shift - normal[$0] * share) }
  }

  /// The argument of GELU's hyperbolic tangent.
  public static func geluArgument(_ x: Double) -> Double {
    (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
  }

  /// x / 2 * (1 + tanh(argument))
  public static func gelu(_ x: Double) -> Double { 0.5 * x * (1 + tanh(geluArgument(x))) }

  /// The slope of GELU.
  public static func geluSlope(_ x: Double) -> Double {
    let t = tanh(geluArgument(x))
    let steepness = (2 / Double.pi).squareRoot() * (1 + 3 * 0.044715 * x * x)
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * steepness
  }

  /// e^x over the sum of them.
  public static func softmax(_ row: [Double]) -> [Double] {
    let most = row.max() ?? 0
    let powers = row.map { exp($0 - most) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }

  /// p * (gradient - sum(p * gradient))
  public static func softmaxBackward(_ p: [Double], _ gradient: [Double]) -> [Double] {
    let mean = p.indices.reduce(0) { $0 + p[$1] * gradient[$1] }
    return p.indices.map { p[$0] * (gradient[$0] - mean) }
  }

  /// -log(softmax(logits)[target])
  public static func crossEntropy(_ logits: [Double], target: Int) -> Double {
    let most = logits.max() ?? 0
    return log(logits.reduce(0) { $0 + exp($1 - most) }) + most - logits[target]
  }

  /// softmax(logits) - [i == target]
  public static func crossEntropyGradient(_ logits: [Double], target: Int) -> [Double] {
    var gradient = softmax(logits)
    gradient[target] -= 1
    return gradient
  }
}
