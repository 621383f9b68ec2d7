// Llama 3.1's scaling (Meta, 2024): by wavelength, short ones kept, long ones divided by the factor,
// and a blend between.

/// Keeps wavelengths below L/high, divides those above L/low by the factor.
public struct Llama3Scaling: RotaryScaling {
  /// How many times the trained length is meant to fit.
  public let factor: Double
  /// Wavelengths above L/low are divided by the factor.
  public let lowFrequencyFactor: Double
  /// Wavelengths below L/high are kept.
  public let highFrequencyFactor: Double
  /// The trained length L.
  public let trainedLength: Double

  /// - Throws: `invalidValue` for numbers that are not finite and above 0, or a high factor below
  ///   the low one. With equal factors, as in Llama 4 Scout, nothing is blended.
  public init(
    factor: Double, lowFrequencyFactor: Double = 1, highFrequencyFactor: Double = 4,
    trainedLength: Double
  ) throws(EmbedError) {
    try requirePositive("factor", factor)
    try requirePositive("lowFrequencyFactor", lowFrequencyFactor)
    try requirePositive("highFrequencyFactor", highFrequencyFactor)
    try requirePositive("trainedLength", trainedLength)
    guard highFrequencyFactor >= lowFrequencyFactor else {
      throw .invalidValue(
        argument: "highFrequencyFactor", value: highFrequencyFactor,
        expected: "at least lowFrequencyFactor, \(lowFrequencyFactor)")
    }
    self.factor = factor
    self.lowFrequencyFactor = lowFrequencyFactor
    self.highFrequencyFactor = highFrequencyFactor
    self.trainedLength = trainedLength
  }

  /// The angles under a scale.
  public func frequencies(_ geometry: RotaryGeometry, under scale: RotaryScale) -> RotaryFrequencies
  {
    RotaryFrequencies(
      geometry.frequencies.map { radians in
        let wavelength = 2 * .pi / radians
        if wavelength > trainedLength / lowFrequencyFactor { return radians / factor }
        // Between equal factors there is nothing to blend.
        if wavelength < trainedLength / highFrequencyFactor
          || highFrequencyFactor == lowFrequencyFactor
        {
          return radians
        }
        let kept =
          (trainedLength / wavelength - lowFrequencyFactor)
          / (highFrequencyFactor - lowFrequencyFactor)
        return (1 - kept) * radians / factor + kept * radians
      })
  }
}
