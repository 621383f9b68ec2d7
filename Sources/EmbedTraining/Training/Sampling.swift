// Tokens drawn from a model, one after another.

internal import EmbedKernel

internal import CSystem

/// How the next token is drawn.
public struct Sampling: Hashable, Sendable {
  /// Divides the logits: below 1 sharper, 0 always takes the most likely token.
  public var temperature: Double
  /// The number of most likely tokens to draw from; nil for all.
  public var topK: Int?
  /// The same seed gives the same tokens.
  public var seed: UInt64
  /// The oldest tokens that are forgotten at once where the model sees no more.
  ///
  /// By 1, each token past the model's context is drawn after as many as it sees, and costs a pass over
  /// all of them; by a quarter of the context, that pass comes once for so many tokens.
  public var slide: Int

  /// Draws as the model says unless told otherwise.
  public init(temperature: Double = 1, topK: Int? = nil, seed: UInt64 = 0, slide: Int = 1) {
    self.temperature = temperature
    self.topK = topK
    self.seed = seed
    self.slide = slide
  }
}

extension GPT {
  /// Draws `count` tokens after a prompt.
  ///
  /// The model sees at most its trained context, or what its positions were extended to; past it the
  /// oldest tokens are forgotten, as ``Sampling/slide`` says, and the others read anew from position
  /// 0 on. Until then a causal model's token costs a pass over itself alone, by a ``KeyValueCache``; a
  /// bidirectional model's costs one over all. Memory follows the tokens that are seen, not `count`.
  ///
  /// - Parameters:
  ///   - prompt: One token or more.
  ///   - count: 0 to 2,147,483,647.
  ///   - candidates: The ids that may be drawn; nil for all. Ids that no token of the vocabulary has
  ///     are best left out: they have no text.
  ///   - threads: The threads of a pass; nil for all CPUs.
  /// - Throws: `invalidSetting` for an empty prompt, no candidates, or numbers outside their ranges;
  ///   `model` for ids outside the vocabulary, and for logits that are no numbers.
  public func sample(
    after prompt: [Int32], count: Int, _ sampling: Sampling = Sampling(),
    from candidates: [Int32]? = nil, threads: Int? = nil
  ) throws(TrainingError) -> [Int32] {
    guard !prompt.isEmpty else {
      throw .invalidSetting(name: "prompt", value: "empty", expected: "one token or more")
    }
    guard (0...Int(Int32.max)).contains(count) else {
      throw .invalidSetting(
        name: "count", value: "\(count)", expected: "0 to \(Int32.max)")
    }
    guard sampling.temperature >= 0, sampling.temperature.isFinite else {
      throw .invalidSetting(
        name: "temperature", value: "\(sampling.temperature)",
        expected: "a finite number, 0 or more")
    }
    if let topK = sampling.topK, topK < 1 {
      throw .invalidSetting(name: "top-k", value: "\(topK)", expected: "1 or more")
    }
    guard (1...longest).contains(sampling.slide) else {
      throw .invalidSetting(
        name: "slide", value: "\(sampling.slide)", expected: "1 to \(longest), as the model sees")
    }
    let drawn = try checked(candidates)
    let generator = Philox4x32(seed: sampling.seed)
    return try TrainingError.wrapping { () throws(EmbedError) in
      let reader = try SampleReader(self, sampling, prompt: prompt.count, threads)
      var logits = [Float](repeating: 0, count: configuration.vocabulary)
      var tokens = prompt
      for index in 0..<count {
        var span = logits.mutableSpan
        try reader.readLogits(of: tokens, into: &span)
        let word = generator.block(UInt64(index)).x
        tokens.append(
          try draw(
            logits, drawn, sampling, uniform: (Double(word) + 0.5) * 0x1p-32))
      }
      return Array(tokens.dropFirst(prompt.count))
    }
  }

  /// The candidates as tokens of the vocabulary, each once, ascending.
  private func checked(_ candidates: [Int32]?) throws(TrainingError) -> [Int] {
    guard let candidates else { return Array(0..<configuration.vocabulary) }
    guard !candidates.isEmpty else {
      throw .invalidSetting(name: "candidates", value: "empty", expected: "one token or more")
    }
    for (position, id) in candidates.enumerated()
    where !(0..<configuration.vocabulary).contains(Int(id)) {
      throw .model(
        .tokenOutOfRange(
          id: Int64(id), batchRow: 0, position: position, vocabulary: configuration.vocabulary))
    }
    return Set(candidates.map(Int.init)).sorted()
  }
}

/// What reads a sample's tokens as they are drawn.
private final class SampleReader {
  private let model: GPT
  private let slide: Int
  private let threads: Int?
  private let cache: KeyValueCache?
  /// Without a cache.
  private var workspace: GPTWorkspace?
  /// The first token that is seen.
  private var first: Int

  init(
    _ model: GPT, _ sampling: Sampling, prompt: Int, _ threads: Int?
  ) throws(EmbedError) {
    self.model = model
    self.threads = threads
    slide = sampling.slide
    first = max(0, prompt - model.longest)
    cache =
      model.configuration.direction == .causal
      ? try KeyValueCache(for: model, threads: threads) : nil
  }

  /// Computes the logits of the token that follows `tokens`, one more than before.
  func readLogits(of tokens: [Int32], into logits: inout MutableSpan<Float>) throws(EmbedError) {
    if tokens.count - first > model.longest {
      first = tokens.count - model.longest + slide - 1
      cache?.removeAll()
    }
    let seen = tokens.span.extracting(first..<tokens.count)
    if let cache {
      let unread = seen.extracting(cache.count..<seen.count)
      return try model.nextLogits(unread, after: cache, into: &logits)
    }
    if workspace?.context ?? 0 < seen.count {
      workspace = nil
      workspace = try GPTWorkspace(
        for: model, batch: 1, context: min(model.longest, max(2 * seen.count, 64)),
        purpose: .evaluation, threads: threads)
    }
    guard let workspace else { return }
    try model.lastLogits(
      seen, batch: 1, context: seen.count, into: &logits, in: workspace)
  }
}

/// The candidate that a number of 0..<1 chooses; of equal logits the first is the more likely one.
private func draw(
  _ logits: [Float], _ candidates: [Int], _ sampling: Sampling, uniform: Double
) throws(EmbedError) -> Int32 {
  var greatest = -Double.infinity
  for token in candidates {
    guard !logits[token].isNaN, logits[token] < .infinity else {
      throw .invalidValue(
        argument: "the logit of token \(token)", value: Double(logits[token]),
        expected: "a finite number")
    }
    greatest = max(greatest, Double(logits[token]))
  }
  let kept = min(
    sampling.temperature == 0 ? 1 : sampling.topK ?? candidates.count, candidates.count)
  var order = candidates
  if kept < order.count {
    order.sort { (logits[$0], $1) > (logits[$1], $0) }
    order.removeLast(order.count - kept)
  }
  guard sampling.temperature > 0, greatest.isFinite else { return Int32(order[0]) }
  let weights = order.map { exp((Double(logits[$0]) - greatest) / sampling.temperature) }
  var left = uniform * weights.reduce(0, +)
  for (token, weight) in zip(order, weights) {
    left -= weight
    if left < 0 { return Int32(token) }
  }
  return Int32(order[order.count - 1])
}
