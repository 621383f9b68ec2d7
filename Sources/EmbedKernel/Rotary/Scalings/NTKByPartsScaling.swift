// NTK-by-parts (bloc97, 2023): pairs that turn often within the trained length keep their angle,
// pairs that turn less than once are interpolated, and a ramp over the pair index joins the two.

/// Blends base^(-2i/r) and base^(-2i/r)/factor by a ramp between two pairs.
public struct NTKByPartsScaling: RotaryScaling {
  /// How many times the trained length is meant to fit.
  public let factor: Double
  /// The trained length L.
  public let trainedLength: Double
  /// Pairs that turn at least this often within L keep their angle.
  public let fastTurns: Double
  /// Pairs that turn at most this often are interpolated.
  public let slowTurns: Double
  /// Whether the ramp starts and ends at whole pairs.
  public let ramp: Ramp

  /// Where the ramp starts and ends.
  public enum Ramp: Hashable, Sendable {
    /// At the next whole pair outwards: `truncate` true in a configuration, and the default.
    case wholePairs
    /// At the exact fractional pair: `truncate` false.
    case exact
  }

  /// - Throws: `invalidValue` for numbers that are not finite and above 0.
  public init(
    factor: Double, trainedLength: Double, fastTurns: Double = 32, slowTurns: Double = 1,
    ramp: Ramp = .wholePairs
  ) throws(EmbedError) {
    try requirePositive("factor", factor)
    try requirePositive("trainedLength", trainedLength)
    try requirePositive("fastTurns", fastTurns)
    try requirePositive("slowTurns", slowTurns)
    self.factor = factor
    self.trainedLength = trainedLength
    self.fastTurns = fastTurns
    self.slowTurns = slowTurns
    self.ramp = ramp
  }

  /// The pairs at which the ramp starts and ends.
  public func rampEnds(_ geometry: RotaryGeometry) -> (low: Double, high: Double) {
    let dim = Double(geometry.rotaryDim)
    func pair(turns: Double) -> Double {
      dim * logarithm(trainedLength / (turns * 2 * .pi)) / (2 * logarithm(geometry.base))
    }
    var (low, high) = (pair(turns: fastTurns), pair(turns: slowTurns))
    if ramp == .wholePairs {
      low.round(.down)
      high.round(.up)
    }
    return (max(low, 0), min(high, dim - 1))
  }

  /// The angles under a scale.
  public func frequencies(
    _ geometry: RotaryGeometry, under scale: RotaryScale
  ) throws(EmbedError) -> RotaryFrequencies {
    guard geometry.base != 1 else {
      throw .invalidValue(argument: "base", value: 1, expected: "other than 1 with a ramp")
    }
    let (low, high) = rampEnds(geometry)
    // A ramp of no length would divide by zero.
    let length = low == high ? 0.001 : high - low
    return RotaryFrequencies(
      geometry.frequencies.enumerated().map { index, kept in
        let interpolated = min(max((Double(index) - low) / length, 0), 1)
        return kept / factor * interpolated + kept * (1 - interpolated)
      })
  }
}
