// The scalings of rotary positions by their numbers.

internal import CEmbedKernel
internal import EmbedKernel

/// A number that may be missing, which NaN stands for.
private func given(_ number: Double, _ usual: Double) -> Double { number.isNaN ? usual : number }

/// A length in whole tokens.
private func length(_ number: Double) throws -> Int {
  guard let length = Int(exactly: number) else {
    throw EmbedError.invalidValue(
      argument: "trained_length", value: number, expected: "a whole number")
  }
  return length
}

/// The caller's divisors, one a pair.
private func divisors(
  _ numbers: UnsafePointer<Double>?, _ count: Int64, _ name: StaticString
) throws -> [Double] {
  try unsafe Array(readable(numbers, EmbedKernelABI.count(count, "factor_count"), name))
}

/// The scaling that `given` describes.
func scaling(_ told: ek_rotary_scaling) throws -> any RotaryScaling {
  let told = unsafe told
  switch unsafe Int(told.kind) {
  case EK_SCALING_NONE: return NoScaling()
  case EK_SCALING_LINEAR: return try unsafe LinearScaling(factor: told.factor)
  case EK_SCALING_NTK: return try unsafe NTKScaling(factor: told.factor)
  case EK_SCALING_DYNAMIC:
    return try unsafe DynamicNTKScaling(
      factor: told.factor, trainedLength: length(told.trained_length))
  case EK_SCALING_YARN, EK_SCALING_NTK_BY_PARTS:
    let ramp: NTKByPartsScaling.Ramp = try unsafe choice(
      told.ramp, .wholePairs, .exact, name: "ramp")
    let parts = try unsafe NTKByPartsScaling(
      factor: told.factor, trainedLength: told.trained_length,
      fastTurns: EmbedKernelABI.given(told.fast_turns, 32),
      slowTurns: EmbedKernelABI.given(told.slow_turns, 1), ramp: ramp)
    guard unsafe told.kind == Int32(EK_SCALING_YARN) else { return parts }
    let factor = unsafe told.attention_factor
    return try YaRNScaling(parts, attentionFactor: factor.isNaN ? nil : factor)
  case EK_SCALING_LLAMA3:
    return try unsafe Llama3Scaling(
      factor: told.factor,
      lowFrequencyFactor: EmbedKernelABI.given(told.low_frequency_factor, 1),
      highFrequencyFactor: EmbedKernelABI.given(told.high_frequency_factor, 4),
      trainedLength: told.trained_length)
  case EK_SCALING_LONGROPE:
    let factor = unsafe told.attention_factor
    return try unsafe LongRoPEScaling(
      shortFactors: divisors(told.short_factors, told.factor_count, "short_factors"),
      longFactors: divisors(told.long_factors, told.factor_count, "long_factors"),
      trainedLength: length(told.trained_length), factor: told.factor,
      attentionFactor: factor.isNaN ? nil : factor)
  case EK_SCALING_PROPORTIONAL:
    return try unsafe ProportionalScaling(
      proportion: told.proportion, factor: EmbedKernelABI.given(told.factor, 1))
  default:
    throw unsafe CallError.option(
      "kind", value: Int(told.kind), expected: "one of EK_SCALING_...")
  }
}
