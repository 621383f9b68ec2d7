// The layer's backward: each token's gradient goes to the rank that has the token's row, which sums.
//
// N tokens of this rank, U different rows of them, M tokens of all ranks whose rows this rank has, D dim.

public import EmbedKernel

/// Where the gradients of a row are summed, and so in what order.
public enum GradientOrder: String, CaseIterable, Sendable {
  /// Every token's gradient is sent to the rank that has its row, which sums them in the order of the global
  /// batch: the bits do not depend on the ranks, and are those of one process. A rank sends 4 + D·4
  /// bytes for each of its tokens whose row is elsewhere.
  case tokens

  /// Each rank sums its own tokens' gradients of a row first, and sends 4 + D·4 bytes for each different row:
  /// fewer by as often as tokens repeat, and another sum of the same terms, whose last bits depend on how
  /// many ranks there are. The owner adds up the ranks' sums in the order of ranks.
  case ranks
}

/// The gradients of the rows that this rank has.
public struct ShardedGradient: ~Copyable {
  /// The token table's, of this rank's rows in their own numbers.
  public var tokens: RowSparseGradient

  /// The position table's; lists no row where positions are not trained.
  public var positions: RowSparseGradient

  var workspace: BackwardWorkspace

  init(_ layer: ShardedEmbedding) throws(DistributedError) {
    let (shard, places) = (layer.tokens.shard, layer.positions?.shard)
    let tokens = try DistributedError.wrapping(
      try RowSparseGradient(rows: shard.rows, dim: shard.dim))
    let positions = try DistributedError.wrapping(
      try RowSparseGradient(rows: places?.rows ?? 1, dim: places?.dim ?? layer.dim))
    let workspace = try DistributedError.wrapping(try BackwardWorkspace())
    self.tokens = tokens
    self.positions = positions
    self.workspace = workspace
  }
}

extension ShardedEmbedding {
  /// Gradients for this rank's parts of the tables.
  ///
  /// - Throws: `invalid` where memory ends.
  public func makeGradient() throws(DistributedError) -> ShardedGradient {
    try ShardedGradient(self)
  }

  /// Computes the gradients of the global batch for the rows that this rank has; they replace what `gradient`
  /// holds.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, context, dim]` of this rank's batch.
  ///   - ids: Shape `[batch, context]`, as given to `forward`; so are the other arguments.
  ///   - gradientScale: Multiplies both gradients; the same on all ranks, as are the options.
  ///   - order: Where a row's gradients are summed.
  /// - Throws: `invalid`, `refused`, `disagreement` as `forward`, before anything is written; `unsupported` for
  ///   `.inverse` scaling with sums at the sender, which does not know how often others have a token.
  /// - Complexity: Three exchanges, five with trained positions. See `GradientOrder` for the bytes. Positions
  ///   are summed as tokens are, also by `openBLAS`, whose own sums of sequential positions have other bits.
  @inlinable
  public func backward<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs, batch: Int, context: Int,
    at place: PositionIDs = .sequential(), into gradient: inout ShardedGradient,
    gradientScale: Float = 1, frequencyScaling: FrequencyScaling = .none,
    summation: Summation = .chunked, order: GradientOrder = .tokens, using kernels: Kernels = .auto
  ) throws(DistributedError) where IDs.Element: TokenID {
    let options = BackwardOptions(
      scale: self.options.scale, gradientScale: gradientScale, frequencyScaling: frequencyScaling,
      summation: summation)
    try unsafe outputGradient.withElements { (outputGradient) throws(DistributedError) in
      try unsafe ids.withElements { (ids) throws(DistributedError) in
        try unsafe backward(
          outputGradient, TokenIDs(ids), batch, context, place, options, order, &gradient, kernels)
      }
    }
  }

  @usableFromInline
  func backward(
    _ outputGradient: UnsafeBufferPointer<Float>, _ ids: TokenIDs, _ batch: Int, _ context: Int,
    _ place: PositionIDs, _ options: BackwardOptions, _ order: GradientOrder,
    _ gradient: inout ShardedGradient, _ kernels: Kernels
  ) throws(DistributedError) {
    let shape = EmbeddingShape(vocabulary: vocabulary, batch: batch, context: context, dim: dim)
    var positionParcels = try GradientParcels((positions ?? tokens).partition)
    var fault: DistributedError?
    do throws(DistributedError) {
      try unsafe DistributedError.wrapping(
        try check(ids, shape, place, outputGradient, "output gradient"))
      try check(options, order, gradient)
      try listRows(ids, shape, place, forGradient: true)
      switch order {
      case .tokens:
        try parcels.listTokens(ids.count, tokenRequests)
        if positions != nil { try positionParcels.listTokens(ids.count, positionRequests) }
      case .ranks:
        try parcels.listRows(tokenRequests)
        if positions != nil { try positionParcels.listRows(positionRequests) }
      }
    } catch {
      fault = error
    }
    var facts = CallFacts(.backward, context: context, history)
    facts.gradientScale = options.gradientScale
    facts.frequencyScaling = options.frequencyScaling == .none ? 0 : 1
    facts.summation = Summation.allCases.firstIndex(of: options.summation) ?? 0
    facts.order = order == .tokens ? 0 : 1
    let counts = try communicator.meet(
      facts, fault, "backward pass", tokens: { parcels.range(of: $0).count },
      positions: { positions == nil ? 0 : positionParcels.range(of: $0).count })

    try unsafe send(
      tokens, tokenRequests, parcels, outputGradient, shape, options, order, counts.tokens,
      &gradient.tokens, &gradient.workspace, kernels)
    guard let positions else { return gradient.positions.removeAll() }
    var plain = options
    plain.scale = 1
    plain.frequencyScaling = .none
    try unsafe send(
      positions, positionRequests, positionParcels, outputGradient, shape, plain, order,
      counts.positions, &gradient.positions, &gradient.workspace, kernels)
  }

  private func check(
    _ options: BackwardOptions, _ order: GradientOrder, _ gradient: borrowing ShardedGradient
  ) throws(DistributedError) {
    guard options.gradientScale.isFinite else {
      throw .invalid(
        .invalidValue(
          argument: "gradient scale", value: Double(options.gradientScale),
          expected: "a finite number"))
    }
    guard order == .tokens || options.frequencyScaling == .none else {
      throw .invalid(
        .unsupported(
          argument: "frequency scaling", value: options.frequencyScaling.rawValue,
          expected: "none, where gradients are summed by rank"))
    }
    let tables = [
      ("token", tokens.shard, gradient.tokens.rows, gradient.tokens.dim),
      (
        "position", positions?.shard ?? tokens.shard,
        positions == nil ? tokens.shard.rows : gradient.positions.rows,
        positions == nil ? tokens.shard.dim : gradient.positions.dim
      ),
    ]
    for (name, shard, rows, dim) in tables {
      guard rows == shard.rows else {
        throw .invalid(
          .invalidSize(
            argument: "rows of the \(name) gradient", value: rows, expected: "\(shard.rows)"))
      }
      guard dim == shard.dim else {
        throw .invalid(
          .invalidSize(
            argument: "dim of the \(name) gradient", value: dim, expected: "\(shard.dim)"))
      }
    }
  }

  /// Sends a table's gradients to those who have its rows, and sums what comes of this rank's.
  private func send(
    _ table: ShardedTable, _ requests: borrowing RowRequests,
    _ parcels: borrowing GradientParcels, _ outputGradient: UnsafeBufferPointer<Float>,
    _ shape: EmbeddingShape, _ options: BackwardOptions, _ order: GradientOrder, _ counts: [Int],
    _ gradient: inout RowSparseGradient, _ workspace: inout BackwardWorkspace, _ kernels: Kernels
  ) throws(DistributedError) {
    var values = unsafe outputGradient.baseAddress ?? UnsafePointer(sums.base)
    if order == .ranks {
      let rows = max(1, requests.count)
      try sums.reserve(rows * dim)
      var local = shape
      local.vocabulary = rows
      let slots = unsafe UnsafeBufferPointer(
        start: requests.slots, count: shape.batch * shape.context)
      let target = unsafe GradientTarget.dense(
        UnsafeMutableBufferPointer(start: sums.base, count: rows * dim), .overwrite)
      try unsafe DistributedError.wrapping(
        try kernels.backward(
          outputGradient, ids: slots, shape: local,
          options: BackwardOptions(summation: options.summation, unknownIDs: .zeroRow),
          tokens: target, positions: .none, workspace: &workspace))
      unsafe values = UnsafePointer(sums.base)
    }
    let received = unsafe try table.ship(parcels, of: values, counts)
    let total = counts.reduce(0, +)
    let arrived = EmbeddingShape(
      vocabulary: table.shard.rows, batch: 1, context: total, dim: table.shard.dim)
    // Which rank's tokens come first follows from the global batch, and so does the order of the sums.
    try unsafe DistributedError.wrapping(
      try kernels.backward(
        received, ids: table.asked.first(total), shape: arrived, options: options,
        tokens: .rowSparse(&gradient), positions: .none, workspace: &workspace))
  }
}
