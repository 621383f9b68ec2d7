// The optimiser of an input layer: its token table and, where they are trained, its positions.
//
//     try optimizer.prepare(ids.span, batch: 8, context: 1_024)
//     try layer.forward(ids.span, batch: 8, context: 1_024, into: &output)
//     ...
//     try optimizer.step(outputGradient: gradient.span)
//
// B batch, T context, N = B*T tokens, D dim.

/// Steps an input layer's tables, by gradients that backward made or by the output gradient itself.
///
/// A value of this class belongs to one thread at a time, as does the layer while it steps. Results
/// are bit for bit the same for every backend and number of threads.
public final class Optimizer {
  /// The layer whose tables it moves.
  public let layer: InputEmbedding

  /// The token table's optimiser; its padding row never moves.
  public let tokens: TableOptimizer

  /// The position table's, or nil where positions are not trained.
  public let positions: TableOptimizer?

  /// The number of steps taken.
  public var stepCount: Int { tokens.stepCount }

  /// The bytes of state and of room for steps.
  public var memoryBytes: Int { tokens.memoryBytes + (positions?.memoryBytes ?? 0) }

  private var workspace: BackwardWorkspace
  /// The number of tokens of the prepared batch.
  private var preparedTokens = 0

  /// Allocates the state of a layer's tables.
  ///
  /// - Parameters:
  ///   - rule: How both tables step.
  ///   - trainable: The token rows that move, such as those of new tokens.
  /// - Throws: `invalidSize` for a row outside the table, `sizeOverflow`, `outOfMemory`.
  public init(
    _ rule: UpdateRule, for layer: InputEmbedding, trainable: TrainableRows = .all
  ) throws(EmbedError) {
    self.layer = layer
    tokens = try TableOptimizer(
      rule, for: layer.tokens.table, trainable: trainable, frozenRow: layer.tokens.paddingID)
    if let table = layer.positions, layer.positionsAreTrained {
      positions = try TableOptimizer(rule, for: table)
    } else {
      positions = nil
    }
    workspace = try BackwardWorkspace()
  }

  /// Groups a batch's tokens by their rows, and brings the rows that its forward pass reads up to
  /// date, where rows may be behind.
  ///
  /// Needed before the forward pass with `untouched: .caughtUp`, and before
  /// ``step(outputGradient:scale:using:)`` with every rule.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - place: Where each token stands, as given to `forward`.
  /// - Throws: `EmbedError` for ids and positions as `forward` does, before anything is written.
  /// - Complexity: O(N), and O(R·D) for R rows that are behind. Allocates only for a batch larger than
  ///   any before.
  @inlinable
  public func prepare<ID: TokenID>(
    _ ids: Span<ID>, batch: Int, context: Int, at place: PositionIDs = .sequential(),
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    let ids = unsafe TokenIDs(ids.withUnsafeBufferPointer { unsafe $0 })
    try prepare(ids, layer.shape(batch: batch, context: context), place, kernels)
  }

  @usableFromInline
  func prepare(
    _ ids: TokenIDs, _ shape: EmbeddingShape, _ place: PositionIDs, _ kernels: Kernels
  ) throws(EmbedError) {
    let counts = try shape.check()
    guard ids.count == counts.ids else {
      throw .wrongElementCount(
        argument: "ids", expected: counts.ids, shape: [shape.batch, shape.context],
        actual: ids.count)
    }
    let plan = try Plan(kernels, shape, .inForce)
    if let positions {
      let maximum = positions.table.rows
      if try !place.check(batch: shape.batch, context: shape.context, maximum: maximum),
        layer.options.positionOverflow != .clamp
      {
        throw place.overflow(batch: shape.batch, context: shape.context, maximum: maximum)
      }
    }
    preparedTokens = 0
    try workspace.tokens.group(
      ids, context: shape.context, vocabulary: shape.vocabulary,
      paddingID: layer.tokens.paddingID, unknownIDs: layer.options.unknownIDs,
      threads: plan.threads)
    if let positions {
      try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
        try workspace.groupPositions(
          places, batch: shape.batch, context: shape.context, maximum: positions.table.rows,
          threads: plan.threads)
      }
    }
    try tokens.prepare(workspace.tokens, using: kernels)
    try positions?.prepare(workspace.positions, using: kernels)
    preparedTokens = counts.ids
  }

  /// Backward and step in one: steps the rows of the prepared batch by the gradient of its output,
  /// whose sums for each row are never written to memory.
  ///
  /// The bits are those of `backward` with `.chunked` sums, then the step.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, context, dim]` of the batch last given to `prepare`.
  ///   - scale: Multiplies the gradient, beside the layer's own scale of tokens.
  /// - Throws: `wrongElementCount` for another shape, `invalidValue` for a scale that is not finite;
  ///   before anything is written.
  /// - Complexity: O(N·D). Memory traffic: the output gradient read, twice where positions are
  ///   trained; the touched rows and their state read and written. Allocates only for a batch larger
  ///   than any before.
  public func step(
    outputGradient: Span<Float>, scale: Float = 1, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    let dim = layer.tokens.dim
    guard outputGradient.count == preparedTokens * dim else {
      throw .wrongElementCount(
        argument: "output gradient", expected: preparedTokens * dim, shape: [preparedTokens, dim],
        actual: outputGradient.count)
    }
    let tokenScale = scale * layer.options.scale
    guard scale.isFinite, tokenScale.isFinite else {
      throw .invalidValue(
        argument: "gradient scale", value: Double(scale), expected: "a finite number")
    }
    let values = unsafe outputGradient.withUnsafeBufferPointer { $0.baseAddress }
    unsafe try tokens.step(values, workspace.tokens.unsafeView, tokenScale, kernels)
    unsafe try positions?.step(values, workspace.positions.unsafeView, scale, kernels)
  }

  /// Steps by gradients that backward made.
  ///
  /// - Parameters:
  ///   - tokens: Of the token table.
  ///   - positions: Of the position table; not read where positions are not trained.
  ///   - scale: Multiplies both, such as a clipping factor.
  /// - Throws: `invalidSize` for gradients of other shapes, `invalidValue` for a scale that is not
  ///   finite; before anything is written.
  public func step(
    tokens: borrowing RowSparseGradient, positions: borrowing RowSparseGradient, scale: Float = 1,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    if let table = self.positions?.table {
      guard positions.rows == table.rows, positions.dim == table.dim else {
        throw .invalidSize(
          argument: "rows of the position gradient", value: positions.rows,
          expected: "\(table.rows), of \(table.dim) floats")
      }
    }
    try self.tokens.step(tokens, scale: scale, using: kernels)
    try self.positions?.step(positions, scale: scale, using: kernels)
  }

  /// Brings all rows up to date, as before saving the tables or reading them whole.
  public func synchronise(using kernels: Kernels = .auto) throws(EmbedError) {
    try tokens.synchronise(using: kernels)
    try positions?.synchronise(using: kernels)
  }
}
