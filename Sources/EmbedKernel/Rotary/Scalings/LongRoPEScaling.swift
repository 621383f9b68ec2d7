// LongRoPE: Ding et al., "LongRoPE: Extending LLM Context Window Beyond 2 Million Tokens", 2024, as
// Phi-3 uses it: a searched divisor for each pair, one set within the trained length and one beyond.

/// base^(-2i/r) / f[i], f by whether the sequence is longer than the trained length.
public struct LongRoPEScaling: RotaryScaling {
  /// Divisors within the trained length, one a pair.
  public let shortFactors: [Double]
  /// Divisors beyond it, one a pair.
  public let longFactors: [Double]
  /// The trained length L.
  public let trainedLength: Int
  /// Multiplies cosines and sines.
  public let attentionFactor: Double
  /// Whether the file's scheme is known within the trained length alone: Phi-3.5-MoE's, whose own
  /// code and transformers take different divisors beyond it.
  package var isTrainedLengthOnly = false

  /// - Parameters:
  ///   - shortFactors: One a pair, for sequences of at most `trainedLength` tokens.
  ///   - longFactors: One a pair, for longer ones.
  ///   - factor: The ratio of the extended to the trained length.
  ///   - attentionFactor: nil for the paper's, sqrt(1 + ln(factor)/ln(L)).
  /// - Throws: `invalidValue`, `invalidSize`.
  public init(
    shortFactors: [Double], longFactors: [Double], trainedLength: Int, factor: Double,
    attentionFactor: Double? = nil
  ) throws(EmbedError) {
    for value in shortFactors { try requirePositive("short factor", value) }
    for value in longFactors { try requirePositive("long factor", value) }
    try requirePositive("factor", factor)
    guard trainedLength > 0 else {
      throw .invalidSize(argument: "trainedLength", value: trainedLength, expected: "1 or more")
    }
    if attentionFactor == nil, factor > 1, trainedLength == 1 {
      throw .invalidSize(
        argument: "trainedLength", value: 1, expected: "2 or more, or an attention factor")
    }
    self.shortFactors = shortFactors
    self.longFactors = longFactors
    self.trainedLength = trainedLength
    self.attentionFactor =
      attentionFactor
      ?? (factor <= 1 ? 1 : (1 + logarithm(factor) / logarithm(Double(trainedLength))).squareRoot())
  }

  /// The scale for a sequence of `length` tokens.
  public func scale(length: Int) -> RotaryScale { length > trainedLength ? .extended : .trained }

  /// The angles under a scale.
  public func frequencies(
    _ geometry: RotaryGeometry, under scale: RotaryScale
  ) throws(EmbedError) -> RotaryFrequencies {
    guard scale == .trained || !isTrainedLengthOnly else {
      throw .invalidField(
        field: "long_mscale", found: "needed for a sequence past \(trainedLength) tokens",
        expected: "at most that many; beyond, the model's code and transformers differ")
    }
    let factors = scale == .extended ? longFactors : shortFactors
    guard factors.count == geometry.rotaryDim / 2 else {
      throw .wrongElementCount(
        argument: "\(scale == .extended ? "long" : "short") factors",
        expected: geometry.rotaryDim / 2, shape: [geometry.rotaryDim / 2], actual: factors.count)
    }
    return RotaryFrequencies(
      zip(geometry.frequencies, factors).map { $0 / $1 }, attentionFactor: attentionFactor)
  }
}
