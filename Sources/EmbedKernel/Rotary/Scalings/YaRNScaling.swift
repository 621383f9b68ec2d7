// YaRN: Peng et al., "YaRN: Efficient Context Window Extension of Large Language Models", 2023.
// NTK-by-parts, and cosines and sines times a factor that sharpens the softmax.

/// NTK-by-parts with an attention factor.
public struct YaRNScaling: RotaryScaling {
  /// How angles are set.
  public let parts: NTKByPartsScaling
  /// Multiplies cosines and sines.
  public let attentionFactor: Double

  /// - Parameters:
  ///   - attentionFactor: nil for the paper's, 0.1 * ln(factor) + 1.
  ///   - scales: DeepSeek's `mscale` and `mscale_all_dim`: the factor is then
  ///     (0.1 * m * ln(factor) + 1) of the first over that of the second.
  /// - Throws: `invalidValue` for an attention factor that is not finite or below 0.
  public init(
    _ parts: NTKByPartsScaling, attentionFactor: Double? = nil,
    scales: (queries: Double, allDim: Double)? = nil
  ) throws(EmbedError) {
    if let given = attentionFactor, !(given.isFinite && given >= 0) {
      throw .invalidValue(
        argument: "attentionFactor", value: given, expected: "a finite number, 0 or more")
    }
    func inferred(_ m: Double) -> Double {
      parts.factor <= 1 ? 1 : 0.1 * m * logarithm(parts.factor) + 1
    }
    self.parts = parts
    self.attentionFactor =
      attentionFactor ?? scales.map { inferred($0.queries) / inferred($0.allDim) } ?? inferred(1)
  }

  /// The angles under a scale.
  public func frequencies(
    _ geometry: RotaryGeometry, under scale: RotaryScale
  ) throws(EmbedError) -> RotaryFrequencies {
    var frequencies = try parts.frequencies(geometry, under: scale)
    frequencies.attentionFactor = attentionFactor
    return frequencies
  }
}
