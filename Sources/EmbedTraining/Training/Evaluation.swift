// The loss on tokens that were held back, as a whole and at each position.

internal import EmbedKernel

/// What an evaluation found.
public struct Evaluation: Hashable, Sendable {
  /// The mean loss, in nats a token.
  public let loss: Double
  /// The mean loss of each position of a sequence.
  public let positionLosses: [Double]
  /// The number of sequences.
  public let sequences: Int
}

extension GPT {
  /// Evaluates on sequences of `context` tokens, one after another from the beginning.
  ///
  /// Allocates a workspace. The result is the same whatever the batch, but for rounding.
  ///
  /// - Parameters:
  ///   - batch: The sequences of a pass.
  ///   - limit: The most tokens to evaluate on; nil for all. At least one sequence is.
  ///   - threads: The threads of a pass; nil for all CPUs.
  /// - Throws: `textTooShort`, `invalidSetting`; `model` for ids outside the vocabulary and a context
  ///   that trained positions do not reach.
  public func evaluate(
    _ tokens: [Int32], context: Int, batch: Int = 8, limit: Int? = nil, threads: Int? = nil
  ) throws(TrainingError) -> Evaluation {
    guard context >= 1, batch >= 1 else {
      throw .invalidSetting(
        name: context < 1 ? "context" : "batch", value: "\(context < 1 ? context : batch)",
        expected: "1 or more")
    }
    guard tokens.count > context else {
      throw .textTooShort(
        part: "validation", tokens: tokens.count, needed: max(context, context &+ 1))
    }
    let sequences = (tokens.count - 1) / context
    let wanted = limit.map { min(sequences, max(1, $0 / context)) } ?? sequences
    let batch = min(batch, wanted)
    return try TrainingError.wrapping { () throws(EmbedError) in
      let workspace = try GPTWorkspace(
        for: self, batch: batch, context: context, purpose: .evaluation, threads: threads)
      var sums = [Double](repeating: 0, count: context)
      var span = sums.mutableSpan
      let stream = tokens.span
      var done = 0
      while done < wanted {
        let rows = min(batch, wanted - done)
        let range = done * context..<(done + rows) * context
        try addLosses(
          stream.extracting(range),
          targets: stream.extracting(range.lowerBound + 1..<range.upperBound + 1), batch: rows,
          context: context, to: &span, in: workspace)
        done += rows
      }
      let means = sums.map { $0 / Double(wanted) }
      return Evaluation(
        loss: means.reduce(0, +) / Double(context), positionLosses: means, sequences: wanted)
    }
  }
}
