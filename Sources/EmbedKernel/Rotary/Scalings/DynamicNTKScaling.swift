// Dynamic NTK scaling (emozilla, 2023): the base grows with the sequence once it is longer than the
// trained length, so short sequences are as trained. Each length has its own angles, so keys that
// were cached at a shorter length are stale.

/// NTK-aware with the factor `factor * T/L - (factor - 1)` for a sequence of T > L tokens.
///
/// HunYuan's files give a fixed `alpha` instead: NTK-aware with that factor at any length.
public struct DynamicNTKScaling: RotaryScaling {
  /// How many times the trained length is meant to fit.
  public let factor: Double
  /// The trained length L.
  public let trainedLength: Int
  /// HunYuan's factor for all lengths, or nil.
  public let alpha: Double?

  /// - Throws: `invalidValue` for a factor that is not finite and above 0, `invalidSize` for a
  ///   length below 1.
  public init(factor: Double, trainedLength: Int) throws(EmbedError) {
    try requirePositive("factor", factor)
    guard trainedLength > 0 else {
      throw .invalidSize(argument: "trainedLength", value: trainedLength, expected: "1 or more")
    }
    self.factor = factor
    self.trainedLength = trainedLength
    alpha = nil
  }

  /// HunYuan's: NTK-aware with one factor, above 0, at any length.
  package init(alpha: Double) {
    self.alpha = alpha
    factor = 1
    trainedLength = .max
  }

  /// The scale for a sequence of `length` tokens.
  public func scale(length: Int) -> RotaryScale {
    length > trainedLength ? .length(length) : .trained
  }

  /// The angles under a scale.
  public func frequencies(
    _ geometry: RotaryGeometry, under scale: RotaryScale
  ) throws(EmbedError) -> RotaryFrequencies {
    if let alpha {
      return RotaryFrequencies(geometry.frequencies(base: try geometry.base(stretchedBy: alpha)))
    }
    guard case .length(let length) = scale, length > trainedLength else {
      return RotaryFrequencies(geometry.frequencies)
    }
    let stretch = factor * Double(length) / Double(trainedLength) - (factor - 1)
    return RotaryFrequencies(geometry.frequencies(base: try geometry.base(stretchedBy: stretch)))
  }
}
