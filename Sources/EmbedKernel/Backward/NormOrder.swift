// p-norms of rows and gradients, summed in Double.

internal import CSystem

/// The p of a p-norm: the p-th root of the sum of the p-th powers of magnitudes.
public enum NormOrder: Hashable, Sendable {
  /// The sum of magnitudes.
  case one
  /// The Euclidean norm.
  case two
  /// Any finite p above 0.
  case power(Double)
  /// The largest magnitude.
  case infinity

  package func check() throws(EmbedError) {
    if case .power(let p) = self, !(p > 0 && p.isFinite) {
      throw .invalidValue(argument: "norm order", value: p, expected: "a finite number above 0")
    }
  }

  /// The sum of p-th powers of magnitudes, or the largest magnitude; in one order for every call.
  package func sum(_ values: UnsafePointer<Float>, _ count: Int) -> Double {
    switch self {
    case .one: unsafe fold(values, count, { $0 + abs($1) }, +)
    case .two: unsafe fold(values, count, { $0 + $1 * $1 }, +)
    case .power(let p): unsafe fold(values, count, { $0 + pow(abs($1), p) }, +)
    case .infinity: unsafe fold(values, count, { larger($0, abs($1)) }, larger)
    }
  }

  /// Both sums together.
  package func combine(_ a: Double, _ b: Double) -> Double {
    if case .infinity = self { return larger(a, b) }
    return a + b
  }

  /// The norm that belongs to a sum.
  package func root(_ sum: Double) -> Double {
    switch self {
    case .one, .infinity: sum
    case .two: sum.squareRoot()
    case .power(let p): pow(sum, 1 / p)
    }
  }
}

/// The larger, or NaN where there is one.
@inline(__always)
private func larger(_ a: Double, _ b: Double) -> Double { a > b || a.isNaN ? a : b }

/// Eight lanes, so that additions do not wait for each other; lanes are joined in their order.
@inline(__always)
private func fold(
  _ values: UnsafePointer<Float>, _ count: Int, _ step: (Double, Double) -> Double,
  _ join: (Double, Double) -> Double
) -> Double {
  var lanes = SIMD8<Double>(repeating: 0)
  let whole = count & ~7
  var i = 0
  while i < whole {
    for lane in 0..<8 { lanes[lane] = unsafe step(lanes[lane], Double(values[i &+ lane])) }
    i &+= 8
  }
  var total = lanes[0]
  for lane in 1..<8 { total = join(total, lanes[lane]) }
  while i < count {
    total = unsafe step(total, Double(values[i]))
    i &+= 1
  }
  return total
}
