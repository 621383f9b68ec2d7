// Position interpolation: Chen et al., "Extending Context Window of Large Language Models via
// Positional Interpolation", 2023, and kaiokendev.

/// base^(-2i/r) / factor: `factor` times as many positions within the trained angles.
public struct LinearScaling: RotaryScaling {
  /// How many times the trained length is meant to fit.
  public let factor: Double

  /// - Throws: `invalidValue` for a factor that is not finite and above 0.
  public init(factor: Double) throws(EmbedError) {
    try requirePositive("factor", factor)
    self.factor = factor
  }

  /// The angles under a scale.
  public func frequencies(_ geometry: RotaryGeometry, under scale: RotaryScale) -> RotaryFrequencies
  {
    RotaryFrequencies(geometry.frequencies.map { $0 / factor })
  }
}
