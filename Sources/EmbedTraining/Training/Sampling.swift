// Tokens drawn from a model, one after another.

internal import EmbedKernel

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// How the next token is drawn.
public struct Sampling: Hashable, Sendable {
  /// Divides the logits: below 1 sharper, 0 always takes the most likely token.
  public var temperature: Double
  /// The number of most likely tokens to draw from; nil for all.
  public var topK: Int?
  /// The same seed gives the same tokens.
  public var seed: UInt64

  /// Draws as the model says unless told otherwise.
  public init(temperature: Double = 1, topK: Int? = nil, seed: UInt64 = 0) {
    self.temperature = temperature
    self.topK = topK
    self.seed = seed
  }
}

extension GPT {
  /// Draws `count` tokens after a prompt.
  ///
  /// The model sees at most its trained context, or what its positions were extended to. A token
  /// costs a pass over all tokens that are seen: keys and values are not kept.
  ///
  /// - Throws: `invalidSetting` for an empty prompt, a negative count or numbers outside their ranges;
  ///   `model` for ids outside the vocabulary.
  public func sample(
    after prompt: [Int32], count: Int, _ sampling: Sampling = Sampling(), threads: Int? = nil
  ) throws(TrainingError) -> [Int32] {
    guard !prompt.isEmpty else {
      throw .invalidSetting(name: "prompt", value: "empty", expected: "one token or more")
    }
    guard count >= 0 else {
      throw .invalidSetting(name: "count", value: "\(count)", expected: "0 or more")
    }
    guard sampling.temperature >= 0, sampling.temperature.isFinite else {
      throw .invalidSetting(
        name: "temperature", value: "\(sampling.temperature)",
        expected: "a finite number, 0 or more")
    }
    if let topK = sampling.topK, topK < 1 {
      throw .invalidSetting(name: "top-k", value: "\(topK)", expected: "1 or more")
    }
    let generator = Philox4x32(seed: sampling.seed)
    return try TrainingError.wrapping { () throws(EmbedError) in
      let longest = min(
        max(configuration.context, input.maximumContext ?? 0), prompt.count + count)
      let workspace = try GPTWorkspace(
        for: self, batch: 1, context: longest, purpose: .evaluation, threads: threads)
      var logits = [Float](repeating: 0, count: configuration.vocabulary)
      var tokens = prompt
      for index in 0..<count {
        let seen = Array(tokens.suffix(longest))
        var span = logits.mutableSpan
        try lastLogits(
          seen.span, batch: 1, context: seen.count, into: &span, in: workspace)
        let word = generator.block(UInt64(index)).x
        tokens.append(draw(logits, sampling, uniform: (Double(word) + 0.5) * 0x1p-32))
      }
      return Array(tokens.dropFirst(prompt.count))
    }
  }
}

/// The token that a number of 0..<1 chooses; of equal logits the first token is the more likely one.
private func draw(_ logits: [Float], _ sampling: Sampling, uniform: Double) -> Int32 {
  let kept = min(sampling.temperature == 0 ? 1 : sampling.topK ?? logits.count, logits.count)
  var order = Array(logits.indices)
  if kept < logits.count {
    order.sort { (logits[$0], $1) > (logits[$1], $0) }
    order.removeLast(logits.count - kept)
  }
  let greatest = Double(order.map { logits[$0] }.max() ?? 0)
  guard sampling.temperature > 0 else { return Int32(order[0]) }
  let weights = order.map { exp((Double(logits[$0]) - greatest) / sampling.temperature) }
  var left = uniform * weights.reduce(0, +)
  for (token, weight) in zip(order, weights) {
    left -= weight
    if left < 0 { return Int32(token) }
  }
  return Int32(order[order.count - 1])
}
