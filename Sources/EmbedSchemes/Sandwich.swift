// Sandwich: what sinusoidal positions alone would add to a logit, as a bias that falls off with
// distance. Chi et al., "Dissecting Transformer Length Extrapolation via the Lens of Receptive Field
// Analysis", 2023; the form and scale are those of NVIDIA NeMo.
//
// d sinusoid dim, H heads, n = query position - key position.

internal import CSystem
public import EmbedKernel

/// The bias (sum of cos(n·f_k) for k in 1...d/2, minus d/2) / (8·h/H), heads h counted from 1,
/// frequencies f_k = base^(-2k/d). Nothing is trained.
public struct Sandwich: DistanceBias {
  private let headCount: Int
  private let frequencies: [Double]

  /// A bias for `heads` heads from sinusoids of `dim` floats.
  ///
  /// - Throws: `invalidSize` for less than one head or an odd or small dim, `invalidValue` for a base
  ///   that is not finite and above 0.
  public init(heads: Int, dim: Int = 128, base: Double = 10_000) throws(EmbedError) {
    guard heads > 0 else {
      throw .invalidSize(argument: "heads", value: heads, expected: "1 or more")
    }
    guard dim >= 2, dim % 2 == 0 else {
      throw .invalidSize(
        argument: "sinusoid dim", value: dim, expected: "an even number, 2 or more")
    }
    guard base.isFinite, base > 0 else {
      throw .invalidValue(argument: "base", value: base, expected: "a finite number above 0")
    }
    headCount = heads
    frequencies = (1...dim / 2).map { pow(base, -2 * Double($0) / Double(dim)) }
  }

  /// `sandwich`.
  public var name: String { "sandwich" }
  /// As many as were asked for.
  public var heads: Int? { headCount }

  /// The scaled sum of cosines, each minus 1 so that nothing cancels at small distances.
  public func value(head: Int, distance: Int) -> Double {
    var sum = 0.0
    for frequency in frequencies {
      // cos(x) - 1 = -2 sin²(x/2)
      let half = sin(Double(distance) * frequency / 2)
      sum -= 2 * half * half
    }
    return sum * Double(headCount) / (8 * Double(head + 1))
  }
}
