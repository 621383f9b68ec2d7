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
  /// costs a pass over all tokens that are seen: keys and values are not kept. Memory follows the
  /// tokens that are seen, not `count`.
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
    let drawn = try checked(candidates)
    let generator = Philox4x32(seed: sampling.seed)
    return try TrainingError.wrapping { () throws(EmbedError) in
      let longest = max(configuration.context, input.maximumContext ?? 0)
      var workspace = try self.workspace(seeing: min(longest, max(prompt.count, 64)), threads)
      var logits = [Float](repeating: 0, count: configuration.vocabulary)
      var tokens = prompt
      for index in 0..<count {
        let seen = Array(tokens.suffix(longest))
        if seen.count > workspace.context {
          workspace = try self.workspace(seeing: min(longest, 2 * seen.count), threads)
        }
        var span = logits.mutableSpan
        try lastLogits(
          seen.span, batch: 1, context: seen.count, into: &span, in: workspace)
        let word = generator.block(UInt64(index)).x
        tokens.append(
          try draw(
            logits, drawn, sampling, uniform: (Double(word) + 0.5) * 0x1p-32))
      }
      return Array(tokens.dropFirst(prompt.count))
    }
  }

  private func workspace(seeing context: Int, _ threads: Int?) throws(EmbedError) -> GPTWorkspace {
    try GPTWorkspace(for: self, batch: 1, context: context, purpose: .evaluation, threads: threads)
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
