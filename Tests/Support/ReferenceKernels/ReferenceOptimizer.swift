// The plain loops that optimiser steps are held to: Double throughout, every element of every row.

/// An optimiser on a dense table, in Double.
public struct ReferenceOptimizer {
  /// The numbers of a rule; each kind reads those it has.
  public struct Numbers: Sendable {
    /// Weight decay.
    public var weightDecay = 0.0
    /// How much of the first moment, or momentum, a step keeps.
    public var beta1 = 0.9
    /// How much of the second moment a step keeps.
    public var beta2 = 0.999
    /// Added to a square root.
    public var epsilon = 1e-8
    /// Adagrad's decay of the rate.
    public var rateDecay = 0.0
    /// Whether momentum looks ahead.
    public var nesterov = false
    /// Adds epsilon before the correction of the second moment.
    public var uncorrectedEpsilon = false
    /// Usual numbers.
    public init() {}
  }

  /// The rule's name.
  public let name: String
  /// Its numbers.
  public let numbers: Numbers
  /// The floats of a row.
  public let dim: Int
  /// The table.
  public var parameters: [Double]
  /// The first moments, momentum or sums of squares.
  public var first: [Double]
  /// The second moments.
  public var second: [Double]
  /// The sums of squares of rows.
  public var rowState: [Double]
  /// The steps taken.
  public private(set) var step = 0

  /// A table before its first step.
  public init(_ name: String, _ numbers: Numbers, parameters: [Float], dim: Int, start: Double = 0)
  {
    self.name = name
    self.numbers = numbers
    self.dim = dim
    self.parameters = parameters.map(Double.init)
    first = [Double](
      repeating: name == "adagrad" ? start : 0, count: parameters.count)
    second = [Double](repeating: 0, count: parameters.count)
    rowState = [Double](repeating: start, count: parameters.count / dim)
  }

  /// Steps the rows of `rows`; a row without gradient in `gradient` has one of zero.
  public mutating func step(rate: Double, rows: some Sequence<Int>, gradient: [Int: [Double]]) {
    step += 1
    let zeros = [Double](repeating: 0, count: dim)
    for row in rows { stepRow(row, rate, gradient[row] ?? zeros) }
  }

  private mutating func stepRow(_ row: Int, _ rate: Double, _ g: [Double]) {
    let n = numbers
    let range = row * dim..<(row + 1) * dim
    switch name {
    case "sgd":
      for i in range {
        parameters[i] -= rate * (g[i - range.lowerBound] + n.weightDecay * parameters[i])
      }
    case "momentum", "nesterov":
      for i in range {
        let d = g[i - range.lowerBound] + n.weightDecay * parameters[i]
        first[i] = n.beta1 * first[i] + d
        parameters[i] -= rate * (n.nesterov ? d + n.beta1 * first[i] : first[i])
      }
    case "adagrad":
      let rate = rate / (1 + Double(step - 1) * n.rateDecay)
      for i in range {
        let d = g[i - range.lowerBound] + n.weightDecay * parameters[i]
        first[i] += d * d
        parameters[i] -= rate * d / (first[i].squareRoot() + n.epsilon)
      }
    case "row-wise-adagrad":
      let d = range.map { g[$0 - range.lowerBound] + n.weightDecay * parameters[$0] }
      rowState[row] += d.reduce(0) { $0 + $1 * $1 } / Double(dim)
      for i in range {
        parameters[i] -= rate * d[i - range.lowerBound] / (rowState[row].squareRoot() + n.epsilon)
      }
    case "adam", "sparse-adam", "adamw", "lamb": stepMoments(row, rate, g)
    default: preconditionFailure("no optimiser \(name)")
    }
  }

  private mutating func stepMoments(_ row: Int, _ rate: Double, _ g: [Double]) {
    let n = numbers
    let range = row * dim..<(row + 1) * dim
    let (b1, b2) = (1 - power(n.beta1, step), 1 - power(n.beta2, step))
    var u = [Double](repeating: 0, count: dim)
    for i in range {
      let coupled = name == "adam" || name == "sparse-adam" ? n.weightDecay * parameters[i] : 0
      let d = g[i - range.lowerBound] + coupled
      first[i] = n.beta1 * first[i] + (1 - n.beta1) * d
      second[i] = n.beta2 * second[i] + (1 - n.beta2) * d * d
      let root = second[i].squareRoot()
      u[i - range.lowerBound] =
        n.uncorrectedEpsilon
        ? b2.squareRoot() / b1 * first[i] / (root + n.epsilon)
        : first[i] / b1 / (root / b2.squareRoot() + n.epsilon)
      if name == "lamb" { u[i - range.lowerBound] += n.weightDecay * parameters[i] }
      if name == "adamw" { parameters[i] *= 1 - rate * n.weightDecay }
    }
    var ratio = 1.0
    if name == "lamb" {
      let p = range.reduce(0.0) { $0 + parameters[$1] * parameters[$1] }.squareRoot()
      let norm = u.reduce(0.0) { $0 + $1 * $1 }.squareRoot()
      if p > 0, norm > 0 { ratio = p / norm }
    }
    for i in range { parameters[i] -= rate * ratio * u[i - range.lowerBound] }
  }

  /// By repeated squaring, so that the oracle needs no library.
  private func power(_ base: Double, _ exponent: Int) -> Double {
    var (result, square, left) = (1.0, base, exponent)
    while left > 0 {
      if left & 1 == 1 { result *= square }
      square *= square
      left >>= 1
    }
    return result
  }
}
