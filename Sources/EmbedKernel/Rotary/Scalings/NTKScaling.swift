// NTK-aware scaling (bloc97, 2023): a larger base stretches slow pairs by the factor and leaves the
// fastest as it was. Hugging Face has no name for it; here it is `ntk`.

/// (base * factor^(r/(r-2)))^(-2i/r).
public struct NTKScaling: RotaryScaling {
  /// How much slower the slowest pair turns.
  public let factor: Double

  /// - Throws: `invalidValue` for a factor that is not finite and above 0.
  public init(factor: Double) throws(EmbedError) {
    try requirePositive("factor", factor)
    self.factor = factor
  }

  /// The angles under a scale.
  public func frequencies(
    _ geometry: RotaryGeometry, under scale: RotaryScale
  ) throws(EmbedError) -> RotaryFrequencies {
    RotaryFrequencies(geometry.frequencies(base: try geometry.base(stretchedBy: factor)))
  }
}

extension RotaryGeometry {
  /// base * factor^(r/(r-2)), which divides the slowest pair's angle by `factor`.
  ///
  /// - Throws: `invalidSize` for a single pair, which is fastest and slowest at once.
  func base(stretchedBy factor: Double) throws(EmbedError) -> Double {
    guard rotaryDim > 2 else {
      throw .invalidSize(
        argument: "rotaryDim", value: rotaryDim, expected: "more than 2 with NTK scaling")
    }
    return base * power(factor, Double(rotaryDim) / Double(rotaryDim - 2))
  }
}
