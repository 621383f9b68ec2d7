// ALiBi: a penalty that grows with distance, at a slope of each head's own. Press et al., "Train
// Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation", 2022.
//
// H heads, n = query position - key position.

internal import CSystem

/// The bias -m·n, or -m·|n|, with a fixed slope m for each head.
public struct ALiBi: DistanceBias {
  /// What a key after its query gets.
  public enum Direction: String, CaseIterable, Sendable {
    /// -m·n for every n, which rises past the query: for causal attention, where such keys are
    /// masked. As in BLOOM and MPT.
    case causal
    /// -m·|n|, for attention in both directions.
    case symmetric
  }

  /// The slope of each head.
  public let slopes: [Double]
  /// What a key after its query gets.
  public let direction: Direction

  /// The published slopes for `heads` heads.
  ///
  /// - Throws: `invalidSize` for less than one head.
  public init(heads: Int, direction: Direction = .causal) throws(EmbedError) {
    guard heads > 0 else {
      throw .invalidSize(argument: "heads", value: heads, expected: "1 or more")
    }
    slopes = Self.slopes(heads: heads)
    self.direction = direction
  }

  /// Slopes of your own, one a head.
  ///
  /// - Throws: `invalidSize` for none, `invalidValue` for one that is not finite.
  public init(slopes: [Double], direction: Direction = .causal) throws(EmbedError) {
    guard !slopes.isEmpty else {
      throw .invalidSize(argument: "slopes", value: 0, expected: "1 or more")
    }
    for (head, slope) in slopes.enumerated() where !slope.isFinite {
      throw .invalidValue(
        argument: "slope of head \(head)", value: slope, expected: "a finite number")
    }
    self.slopes = slopes
    self.direction = direction
  }

  /// The published recursion: for a power of two, 2^(-8/H), its square, its cube, and so on; else
  /// the slopes of the next lower power of two, then every other one of the next higher.
  public static func slopes(heads: Int) -> [Double] {
    guard heads > 0 else { return [] }
    let power = 1 << (Int.bitWidth - 1 - heads.leadingZeroBitCount)
    let first = (1...power).map { exp2(-8 * Double($0) / Double(power)) }
    let more = (0..<heads - power).map { exp2(-8 * Double(2 * $0 + 1) / Double(2 * power)) }
    return first + more
  }

  /// `alibi`.
  public var name: String { "alibi" }
  /// One slope each.
  public var heads: Int? { slopes.count }

  /// -m·n, or -m·|n|.
  public func value(head: Int, distance: Int) -> Double {
    -slopes[head] * Double(direction == .causal ? distance : abs(distance))
  }
}
