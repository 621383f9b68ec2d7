// The optimiser of an input layer: its token table and, where they are trained, its positions.
//
//     try optimizer.forward(ids, batch: 8, context: 1_024, into: &output)
//     ...
//     try optimizer.step(outputGradient: gradient)
//
// B batch, T context, N = B*T tokens, D dim.

internal import CKernels

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
  public var memoryBytes: Int { stateBytes + scratchBytes }

  /// The bytes of state, in proportion to the trainable rows.
  public var stateBytes: Int { tokens.stateBytes + (positions?.stateBytes ?? 0) }

  /// The bytes of room for steps, in proportion to the largest batch: of its gradient nothing but the
  /// sums of its positions and of its most frequent tokens is ever in memory.
  public var scratchBytes: Int {
    tokens.scratchBytes + (positions?.scratchBytes ?? 0) + passed.memoryBytes
      + workspace.tokens.memoryBytes + workspace.positions.memoryBytes
  }

  var workspace: BackwardWorkspace
  private var passed: LoneTokens
  /// How the prepared batch's gradient is walked, where one pass does for both tables.
  private var walk: ek_walk?
  /// The number of tokens of the prepared batch; nil where none waits for its step.
  var preparedTokens: Int?

  /// Allocates the state of a layer's tables.
  ///
  /// - Parameters:
  ///   - rule: How both tables step.
  ///   - trainable: The token rows that move, such as those of new tokens.
  /// - Throws: `invalidSize` for a row outside the table, `sizeOverflow`, `outOfMemory`.
  public convenience init(
    _ rule: UpdateRule, for layer: InputEmbedding, trainable: TrainableRows = .all
  ) throws(EmbedError) {
    let tokens = try TableOptimizer(
      rule, for: layer.tokens.table, trainable: trainable, frozenRow: layer.tokens.paddingID)
    var positions: TableOptimizer?
    if let table = layer.positions, layer.positionsAreTrained {
      positions = try TableOptimizer(rule, for: table)
    }
    try self.init(layer, tokens, positions)
  }

  package init(
    _ layer: InputEmbedding, _ tokens: TableOptimizer, _ positions: TableOptimizer?
  ) throws(EmbedError) {
    self.layer = layer
    self.tokens = tokens
    self.positions = positions
    workspace = try BackwardWorkspace()
    passed = try LoneTokens()
  }

  /// Groups a batch's tokens by their rows for ``step(outputGradient:scale:using:)``, and brings the
  /// rows that its forward pass reads up to date, where rows may be behind.
  ///
  /// `forward` does this too. The layer's own forward pass needs no preparation.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - place: Where each token stands, as given to `forward`.
  /// - Throws: `EmbedError` for ids and positions as `forward` does, before anything is written.
  /// - Complexity: O(N), and O(R·D) for R rows that are behind. Allocates only for a batch larger than
  ///   any before.
  @inlinable
  public func prepare<IDs: ReadableElements & ~Copyable & ~Escapable>(
    _ ids: borrowing IDs, batch: Int, context: Int, at place: PositionIDs = .sequential(),
    using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe ids.withElements { (ids) throws(EmbedError) in
      try prepare(unsafe TokenIDs(ids), layer.shape(batch: batch, context: context), place, kernels)
    }
  }

  @usableFromInline
  func prepare(
    _ ids: TokenIDs, _ shape: EmbeddingShape, _ place: PositionIDs, _ kernels: Kernels
  ) throws(EmbedError) {
    let count = try group(ids, shape, place, kernels)
    try tokens.prepare(workspace.tokens, using: kernels)
    try positions?.prepare(workspace.positions, using: kernels)
    preparedTokens = count
  }

  /// Groups a batch's tokens; how many there are.
  func group(
    _ ids: TokenIDs, _ shape: EmbeddingShape, _ place: PositionIDs, _ kernels: Kernels
  ) throws(EmbedError) -> Int {
    let counts = try shape.check()
    guard ids.count == counts.ids else {
      throw .wrongElementCount(
        argument: "ids", expected: counts.ids, shape: [shape.batch, shape.context],
        actual: ids.count)
    }
    let plan = try Plan(kernels, shape)
    if let positions {
      let maximum = positions.rows
      if try !place.check(batch: shape.batch, context: shape.context, maximum: maximum),
        layer.options.positionOverflow != .clamp
      {
        throw place.overflow(batch: shape.batch, context: shape.context, maximum: maximum)
      }
    }
    preparedTokens = nil
    try workspace.tokens.group(
      ids, context: shape.context, vocabulary: shape.vocabulary,
      paddingID: layer.tokens.paddingID, unknownIDs: layer.options.unknownIDs,
      threads: plan.threads)
    if let positions {
      try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
        try workspace.groupPositions(
          places, batch: shape.batch, context: shape.context, maximum: positions.rows,
          threads: plan.threads)
      }
    }
    walk = nil
    if let positions, tokens.rule.untouched != .stepped, counts.ids > 0,
      case .sequential(let offset) = place.layout, offset + shape.context <= positions.rows,
      shape.batch <= rowsOfRun
    {
      walk = ek_walk(batch: shape.batch, context: shape.context, dim: shape.dim)
    }
    return counts.ids
  }

  /// Backward and step in one: steps the rows of the prepared batch by the gradient of its output,
  /// whose sums for each row are never written to memory. A prepared batch is stepped once.
  ///
  /// The bits are those of `backward` with `.chunked` sums, then the step.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, context, dim]` of the batch last given to `forward` or
  ///     `prepare`.
  ///   - scale: Multiplies the gradient, beside the layer's own scale of tokens: a clipping factor.
  /// - Throws: `unsupported` where no batch was prepared since the last step, `wrongElementCount` for
  ///   another shape, `invalidValue` for a scale that is not finite; before anything is written.
  /// - Complexity: O(N·D). Memory traffic: the output gradient read (again for tokens that share a
  ///   row, or all of it where positions are not sequential or untouched rows step too); the touched
  ///   rows and their state read and written. Allocates only for a batch larger than any before.
  @inlinable
  public func step<Gradient: ReadableElements<Float> & ~Copyable & ~Escapable>(
    outputGradient: borrowing Gradient, scale: Float = 1, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe outputGradient.withElements { (gradient) throws(EmbedError) in
      try unsafe step(gradient, scale, kernels)
    }
  }

  /// The same for a batch whose forward pass was the layer's own.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, context, dim]`.
  ///   - ids: Shape `[batch, context]`, as given to `forward`; so are the other arguments.
  ///   - scale: Multiplies the gradient, beside the layer's own scale of tokens: a clipping factor.
  /// - Throws: `EmbedError` for ids and positions as `forward` does, `wrongElementCount` for a gradient
  ///   of another shape, `invalidValue` for a scale that is not finite; before anything is written.
  @inlinable
  public func step<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable
  >(
    outputGradient: borrowing Gradient, ids: borrowing IDs, batch: Int, context: Int,
    at place: PositionIDs = .sequential(), scale: Float = 1, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe ids.withElements { (ids) throws(EmbedError) in
      try prepareStep(
        unsafe TokenIDs(ids), layer.shape(batch: batch, context: context), place, kernels)
    }
    try step(outputGradient: outputGradient, scale: scale, using: kernels)
  }

  /// Prepares a batch for its step alone.
  @usableFromInline
  func prepareStep(
    _ ids: TokenIDs, _ shape: EmbeddingShape, _ place: PositionIDs, _ kernels: Kernels
  ) throws(EmbedError) {
    preparedTokens = try group(ids, shape, place, kernels)
  }

  @usableFromInline
  func step(
    _ outputGradient: UnsafeBufferPointer<Float>, _ scale: Float, _ kernels: Kernels
  ) throws(EmbedError) {
    let dim = layer.tokens.dim
    guard let preparedTokens else {
      throw .unsupported(
        argument: "output gradient", value: "of no batch",
        expected: "forward or prepare before each step, or the batch's ids with it")
    }
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
    let values = outputGradient.baseAddress
    defer { self.preparedTokens = nil }
    guard let walk, let values = unsafe values else {
      unsafe try tokens.step(values, workspace.tokens.unsafeView, tokenScale, kernels)
      unsafe try positions?.step(values, workspace.positions.unsafeView, scale, kernels)
      return
    }
    try passed.split(workspace.tokens.unsafeView, walk, dim: dim)
    unsafe try tokens.step(values, passed, walk, tokenScale, kernels)
    let sums = unsafe TableOptimizer.Gradient(
      form: EK_BY_INDEX, values: UnsafePointer(passed.positionSums),
      rows: workspace.positions.unsafeView.rowIDs, count: walk.context, scale: scale)
    try positions?.step(sums, kernels)
  }

  /// Brings all rows and their state up to date: see ``TableOptimizer/synchronise(using:)``.
  public func synchronise(using kernels: Kernels = .auto) throws(EmbedError) {
    try tokens.synchronise(using: kernels)
    try positions?.synchronise(using: kernels)
  }
}
