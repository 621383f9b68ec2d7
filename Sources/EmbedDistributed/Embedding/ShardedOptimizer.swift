// Steps over ranks: whoever has a row has its state, and alone steps it. Nothing moves but the norm.

public import EmbedKernel

internal import CKernels

/// Steps a sharded layer's tables by the gradients that its backward made, each rank its own rows.
///
/// All update rules serve where rows are divided, exact-lazy AdamW included: their bits are those of one
/// process. Where columns are divided, `lamb` and `row-wise-adagrad` don't, which look at whole rows.
public final class ShardedOptimizer {
  /// The layer whose tables it moves.
  public let layer: ShardedEmbedding

  /// This rank's part of the token table's optimiser.
  public let tokens: TableOptimizer

  /// The same of the position table, or nil where positions are not trained.
  public let positions: TableOptimizer?

  /// The number of steps taken.
  public var stepCount: Int { tokens.stepCount }

  /// Allocates the state of this rank's rows.
  ///
  /// - Throws: `disagreement` where ranks give different rules, `invalid` or `refused` for a rule that needs
  ///   whole rows where columns are divided, and where memory ends; on all ranks.
  public init(_ rule: UpdateRule, for layer: ShardedEmbedding) throws(DistributedError) {
    let communicator = layer.communicator
    try communicator.agree(
      [("update rule", rule.name), ("untouched rows", rule.untouched.rawValue)] + rule.facts)
    var made: (TableOptimizer, TableOptimizer?)?
    var fault: DistributedError?
    do throws(DistributedError) {
      // Their rounding follows from the row's place, which differs from rank to rank.
      guard rule.state.moments == .float32 else {
        throw DistributedError.invalid(
          .unsupported(
            argument: "type of the moments of a divided table", value: rule.state.moments.rawValue,
            expected: "f32"))
      }
      if layer.tokens.sharding == .columns, rule.readsWholeRows {
        throw .invalid(
          .unsupported(
            argument: "update rule", value: rule.name,
            expected: "one that needs no whole rows, where columns are divided"))
      }
      let frozen = layer.paddingID.flatMap { layer.tokens.localRow(of: $0) }
      made = try DistributedError.wrapping(
        try Self.make(rule, layer.tokens.shard, frozen, layer.positions?.shard))
    } catch {
      fault = error
    }
    try communicator.share(fault, "making of an optimiser")
    guard let made else { throw .broken(operation: "making of an optimiser") }
    self.layer = layer
    tokens = made.0
    positions = made.1
  }

  private static func make(
    _ rule: UpdateRule, _ tokens: EmbeddingTable<Float>, _ frozenRow: Int?,
    _ positions: EmbeddingTable<Float>?
  ) throws(EmbedError) -> (TableOptimizer, TableOptimizer?) {
    let first = try TableOptimizer(rule, for: tokens, frozenRow: frozenRow)
    guard let positions else { return (first, nil) }
    return (first, try TableOptimizer(rule, for: positions))
  }

  /// Steps by the gradients that the layer's backward made. Moves no bytes; ranks that step by different
  /// scales are found out when they next meet.
  ///
  /// - Parameter scale: Multiplies both gradients, such as a clipping factor.
  /// - Throws: `invalid` for gradients of other shapes or a scale that is not finite; before anything is
  ///   written.
  public func step(
    _ gradient: borrowing ShardedGradient, scale: Float = 1, using kernels: Kernels = .auto
  ) throws(DistributedError) {
    do throws(EmbedError) {
      if let positions {
        try positions.checkShape(
          "position gradient", rows: gradient.positions.rows, dim: gradient.positions.dim)
      }
      try tokens.step(gradient.tokens, scale: scale, using: kernels)
      try positions?.step(gradient.positions, scale: scale, using: kernels)
    } catch {
      throw .invalid(error)
    }
    layer.history.add(scale: scale)
  }
}

extension ShardedEmbedding {
  /// The Euclidean norm of the gradients of all ranks together. Squares are added up without rounding, so
  /// that it does not depend on the ranks, on threads or on the tables' division; not finite where an
  /// element is not. It is within an ulp of the exact norm, `GradientNorm` within some more.
  ///
  /// - Complexity: O(rows listed · D) and one exchange of 96 bytes.
  public func norm(of gradient: borrowing ShardedGradient) throws(DistributedError) -> Double {
    var own = ExactSumOfSquares()
    unsafe own.add(gradient.tokens.values.withUnsafeBufferPointer { unsafe $0 })
    if positions != nil {
      unsafe own.add(gradient.positions.values.withUnsafeBufferPointer { unsafe $0 })
    }
    return try own.total(over: communicator).value.squareRoot()
  }

  /// What the gradients are to be multiplied by, so that their norm over all ranks is at most `maximum`: as
  /// `GradientNorm.clipFactor(maximum:)`.
  ///
  /// - Throws: `invalid` for a maximum below 0 or a norm that is not finite; on all ranks.
  public func clipFactor(
    of gradient: borrowing ShardedGradient, maximum: Double
  ) throws(DistributedError) -> Float {
    let norm = try norm(of: gradient)
    return try DistributedError.wrapping(try GradientNorm.clipFactor(norm, maximum: maximum))
  }
}

extension UpdateRule {
  /// Whether a step of an element depends on others of its row.
  fileprivate var readsWholeRows: Bool { name == "lamb" || name == "row-wise-adagrad" }

  /// What may differ between rules of one name: the rates and numbers of some steps, and where state starts.
  fileprivate var facts: [(name: String, value: String)] {
    var facts = [("learning rate", "\(learningRate)"), ("start of the state", "\(state.start)")]
    for step in [1, 2, 1_000] {
      let s = scalars(step, learningRate.rate(at: step))
      facts.append(
        (
          "numbers of step \(step)",
          "\([s.coupled_decay, s.decay, s.rate, s.first_rate, s.second_rate, s.epsilon, s.correction])"
            + (s.nesterov ? ", nesterov" : "")
        ))
    }
    return facts.map { (name: $0.0, value: $0.1) }
  }
}
