// What each published scaling scheme reads its numbers from. The schemes themselves, and the papers they
// come from, are EmbedKernel's.

public import EmbedKernel

extension NoScaling: PublishedScaling {
  /// What a configuration calls it.
  public static let names = ["default", "mrope", "axial"]

  /// Reads nothing.
  public init(_ fields: RotaryFields) { self.init() }
}

extension LinearScaling: PublishedScaling {
  /// What a configuration calls it.
  public static let names = ["linear"]

  /// Reads the scheme's fields.
  public init(_ fields: RotaryFields) throws(EmbedError) {
    try self.init(factor: fields.positive("factor"))
  }
}

extension NTKScaling: PublishedScaling {
  /// What a configuration calls it.
  public static let names = ["ntk"]

  /// Reads the scheme's fields.
  public init(_ fields: RotaryFields) throws(EmbedError) {
    try self.init(factor: fields.positive("factor"))
  }
}

extension DynamicNTKScaling: PublishedScaling {
  /// What a configuration calls it.
  public static let names = ["dynamic"]

  /// Reads the scheme's fields.
  public init(_ fields: RotaryFields) throws(EmbedError) {
    if fields.isOwn("alpha"), let alpha = try fields.notNegative("alpha"), alpha > 0 {
      // Transformers passes over the factor then.
      self.init(alpha: alpha)
      return
    }
    try self.init(factor: fields.positive("factor"), trainedLength: fields.maximumPositions())
  }
}

extension NTKByPartsScaling: PublishedScaling {
  /// What a configuration calls it.
  public static let names = ["ntk-by-parts"]

  /// Reads the scheme's fields.
  public init(_ fields: RotaryFields) throws(EmbedError) {
    let trainedLength = Double(try fields.originalMaximumPositions())
    // Hugging Face takes an explicit null as the ratio of the two lengths.
    let factor =
      try fields.isNull("factor")
      ? Double(fields.maximumPositions()) / trainedLength : fields.positive("factor")
    let (fast, slow) = (try fields.number("beta_fast"), try fields.number("beta_slow"))
    // Hugging Face takes 0 as the default too.
    try self.init(
      factor: factor, trainedLength: trainedLength,
      fastTurns: fast == nil || fast == 0 ? 32 : fields.positive("beta_fast"),
      slowTurns: slow == nil || slow == 0 ? 1 : fields.positive("beta_slow"),
      ramp: fields.bool("truncate") ?? true ? .wholePairs : .exact)
  }
}

extension YaRNScaling: PublishedScaling {
  /// What a configuration calls it.
  public static let names = ["yarn"]

  /// Reads the scheme's fields.
  public init(_ fields: RotaryFields) throws(EmbedError) {
    let (m, all) = (try fields.number("mscale") ?? 0, try fields.number("mscale_all_dim") ?? 0)
    try self.init(
      NTKByPartsScaling(fields), attentionFactor: fields.notNegative("attention_factor"),
      scales: m != 0 && all != 0 ? (m, all) : nil)
  }
}

extension LongRoPEScaling: PublishedScaling {
  /// What a configuration calls it.
  public static let names = ["longrope", "su"]

  /// Reads the scheme's fields.
  public init(_ fields: RotaryFields) throws(EmbedError) {
    let trained = try fields.originalMaximumPositions()
    let pairs = fields.geometry.rotaryDim / 2
    if fields.isOwn("short_mscale") || fields.isOwn("long_mscale") {
      // Phi-3.5-MoE: a scale of its own for either set of divisors.
      _ = try fields.positive("long_mscale")
      try self.init(
        shortFactors: fields.positives("short_factor", count: pairs),
        longFactors: fields.positives("long_factor", count: pairs),
        trainedLength: trained, factor: 1, attentionFactor: fields.positive("short_mscale"))
      isTrainedLengthOnly = true
      return
    }
    let given = try fields.number("factor") == nil ? nil : try fields.positive("factor")
    let attention = try fields.notNegative("attention_factor")
    var factor = given ?? 1
    if given == nil, attention == nil {
      factor = Double(try fields.maximumPositions()) / Double(trained)
    }
    try self.init(
      shortFactors: fields.positives("short_factor", count: pairs),
      longFactors: fields.positives("long_factor", count: pairs),
      trainedLength: trained, factor: factor, attentionFactor: attention)
  }
}

extension Llama3Scaling: PublishedScaling {
  /// What a configuration calls it.
  public static let names = ["llama3"]

  /// Reads the scheme's fields.
  public init(_ fields: RotaryFields) throws(EmbedError) {
    let low = try fields.positive("low_freq_factor")
    let high = try fields.positive("high_freq_factor")
    guard high >= low else {
      throw fields.fault("high_freq_factor", "\(high)", "at least low_freq_factor, \(low)")
    }
    try self.init(
      factor: fields.positive("factor"), lowFrequencyFactor: low, highFrequencyFactor: high,
      trainedLength: Double(fields.originalMaximumPositions()))
  }
}

extension ProportionalScaling: PublishedScaling {
  /// What a configuration calls it.
  public static let names = ["proportional"]
  /// All pairs of the head are there, turning or not.
  public static let keepsWholeHead = true

  /// Reads the scheme's fields.
  public init(_ fields: RotaryFields) throws(EmbedError) {
    let proportion = try fields.partialRotaryFactor()
    let factor = try fields.number("factor") == nil ? 1 : try fields.positive("factor")
    try self.init(proportion: proportion, factor: factor)
  }
}
