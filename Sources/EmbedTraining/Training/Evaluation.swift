// The loss on tokens that were held back, as a whole and at each position.

public import EmbedDistributed
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
  ///   - ranks: Those that share the passes, all with the same model and tokens; nil for this process alone.
  ///     The result has the same bits on any number.
  /// - Throws: `textTooShort`, `invalidSetting`; `model` for ids outside the vocabulary and a context
  ///   that trained positions do not reach; `ranks` where another rank finds that.
  public func evaluate(
    _ tokens: [Int32], context: Int, batch: Int = 8, limit: Int? = nil, threads: Int? = nil,
    over ranks: Communicator? = nil
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
    var losses: EvaluationLosses?
    var fault: EmbedError?
    do throws(EmbedError) {
      let own = try EvaluationLosses(
        sequences: wanted, batch: batch, context: context, over: ranks ?? .alone)
      try own.compute(self, tokens, threads)
      losses = own
    } catch {
      fault = error
    }
    return try TrainingError.wrappingRanks { () throws(DistributedError) in
      if let ranks { try ranks.share(fault.map { DistributedError.invalid($0) }, "evaluation") }
      guard let losses else { throw fault.map { .invalid($0) } ?? .broken(operation: "evaluation") }
      try losses.share()
      let means = losses.positionSums.map { $0 / Double(wanted) }
      return Evaluation(
        loss: means.reduce(0, +) / Double(context), positionLosses: means, sequences: wanted)
    }
  }
}

/// The loss of every token, which ranks compute pass by pass.
@safe private final class EvaluationLosses {
  let sequences: Int
  let batch: Int
  let context: Int
  let ranks: Communicator
  private let losses: AlignedBuffer<Float>

  init(
    sequences: Int, batch: Int, context: Int, over ranks: Communicator
  ) throws(EmbedError) {
    losses = try AlignedBuffer(count: elementCount("losses", sequences, context))
    self.sequences = sequences
    self.batch = batch
    self.context = context
    self.ranks = ranks
  }

  /// The sequences whose passes a rank makes.
  private func sequences(of rank: Int) -> Range<Int> {
    let passes = Partition.share((sequences - 1) / batch + 1, ranks.size, rank)
    return min(sequences, passes.lowerBound * batch)..<min(sequences, passes.upperBound * batch)
  }

  func compute(_ model: GPT, _ tokens: [Int32], _ threads: Int?) throws(EmbedError) {
    let own = sequences(of: ranks.rank)
    guard !own.isEmpty else { return }
    let workspace = try GPTWorkspace(
      for: model, batch: batch, context: context, purpose: .evaluation, threads: threads)
    let stream = tokens.span
    var start = own.lowerBound
    while start < own.upperBound {
      let rows = min(batch, own.upperBound - start)
      let range = start * context..<(start + rows) * context
      try unsafe model.writeLosses(
        stream.extracting(range),
        targets: stream.extracting(range.lowerBound + 1..<range.upperBound + 1), batch: rows,
        context: context,
        into: UnsafeMutableBufferPointer(rebasing: losses.unsafeBuffer[range]), in: workspace)
      start += rows
    }
  }

  /// Gives all ranks all losses.
  func share() throws(DistributedError) {
    guard ranks.size > 1 else { return }
    let pieces = Exchange(ranks: ranks.size)
    let own = sequences(of: ranks.rank)
    let base = unsafe losses.unsafeBuffer.baseAddress.unsafelyUnwrapped
    for peer in 0..<ranks.size {
      let theirs = sequences(of: peer)
      unsafe pieces.send(
        base + own.lowerBound * context, bytes: 4 * own.count * context, to: peer)
      unsafe pieces.receive(
        base + theirs.lowerBound * context, bytes: 4 * theirs.count * context, from: peer)
    }
    try ranks.run(pieces, "exchange of losses")
  }

  /// The losses of each position, summed in the order of the sequences.
  var positionSums: [Double] {
    var sums = [Double](repeating: 0, count: context)
    for token in 0..<losses.count { sums[token % context] += Double(losses[token]) }
    return sums
  }
}
