// p-RoPE: Barbero et al., "Round and Round We Go! What makes Rotary Positional Encodings useful?",
// 2024: the slowest pairs do not turn at all and carry meaning alone. Gemma 4's global layers.

/// The first `proportion` of the pairs turn by base^(-2i/r) / factor, the others not at all.
///
/// Other than with a smaller rotary dim, pairs and exponents are those of the whole head.
public struct ProportionalScaling: RotaryScaling {
  /// The part of the head's pairs that turn, 0...1.
  public let proportion: Double
  /// How many times the trained length is meant to fit.
  public let factor: Double

  /// - Throws: `invalidValue` for a proportion outside 0...1 or a factor that is not finite and
  ///   above 0.
  public init(proportion: Double, factor: Double = 1) throws(EmbedError) {
    guard proportion >= 0, proportion <= 1 else {
      throw .invalidValue(argument: "proportion", value: proportion, expected: "0...1")
    }
    try requirePositive("factor", factor)
    self.proportion = proportion
    self.factor = factor
  }

  /// The angles under a scale.
  public func frequencies(_ geometry: RotaryGeometry, under scale: RotaryScale) -> RotaryFrequencies
  {
    let turning = Int(saturating: proportion * Double(geometry.rotaryDim) / 2)
    return RotaryFrequencies(
      geometry.frequencies.enumerated().map { $0 < turning ? $1 / factor : 0 })
  }
}
