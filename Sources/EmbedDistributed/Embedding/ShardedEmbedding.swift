// A language model's first layer over ranks: each has a part of the tables and a part of the batch.
//
// The global batch is the ranks' batches one after another, in the order of ranks. B sequences of this rank,
// T context, N = B*T tokens of this rank, U different rows of them, V vocabulary, D dim, R ranks.

public import EmbedKernel

/// Token embedding and absolute positions over tables that are divided over ranks.
///
/// Results are, bit for bit, those of an `InputEmbedding` of the same tables on the global batch, whatever the
/// number of ranks and however tables are divided. All ranks call in the same order; a value of this class
/// belongs to one thread at a time.
public final class ShardedEmbedding {
  /// The ranks.
  public let communicator: Communicator

  /// The token table.
  public let tokens: ShardedTable

  /// The position table, where positions are trained.
  public let positions: ShardedTable?

  /// A position table that is not trained, which every rank has whole.
  public let fixedPositions: EmbeddingTable<Float>?

  /// The id of padding: its row is zero and never trained.
  public let paddingID: Int?

  /// Scale, and what happens outside the tables.
  public let options: EmbedOptions

  /// The number of tokens.
  public var vocabulary: Int { tokens.rows }

  /// The number of floats of a vector.
  public var dim: Int { tokens.dim }

  var history = StepHistory()
  var tokenRequests: RowRequests
  var positionRequests: RowRequests
  private var tokenRows: Scratch<Float>
  private var positionRows: Scratch<Float>
  private var places: Scratch<Int32>
  var sums: Scratch<Float>
  var parcels: GradientParcels

  /// Allocates and draws a new layer, each rank its part: the bits of an `InputEmbedding` of these arguments.
  ///
  /// - Parameters:
  ///   - vocabulary: May be more than 32 bits count.
  ///   - sharding: How the token table is divided. The position table is by columns where it is, else by
  ///     ranges of rows.
  ///   - positions: `.learned(maximum:)`, `.sinusoidal(maximum:)` or `.none`; not more than memory holds.
  /// - Throws: `disagreement` where ranks give different arguments, `invalid` or `refused` for arguments that
  ///   do not serve or where memory ends; on all ranks.
  public convenience init(
    vocabulary: Int, dim: Int, sharding: Sharding = .contiguousRows,
    positions: AbsolutePositions = .none, scale: EmbeddingScale = .one, paddingID: Int? = nil,
    unknownIDs: UnknownIDs = .error, initialization: Initialization = .normal(sigma: 0.02),
    seed: UInt64 = 0, over communicator: Communicator
  ) throws(DistributedError) {
    try communicator.agree([
      ("vocabulary", "\(vocabulary)"), ("dim", "\(dim)"), ("sharding", "\(sharding)"),
      ("positions", positions.name), ("scale", "\(scale)"), ("padding id", "\(paddingID ?? -1)"),
      ("unknown ids", unknownIDs.rawValue), ("initialization", "\(initialization)"),
      ("seed", "\(seed)"),
    ])
    var parts: Parts?
    var fault: DistributedError?
    do throws(DistributedError) {
      // The position table whole, which its drawing needs, and what there is beside it.
      let model = try DistributedError.wrapping(
        try InputEmbedding(
          vocabulary: 1, dim: dim, positions: positions, scale: scale, unknownIDs: unknownIDs,
          seed: seed))
      let made = try Parts(model, vocabulary, dim, sharding, paddingID, communicator)
      try made.tokens.fill(initialization, seed: seed, stream: RandomStream.tokens)
      parts = made
    } catch {
      fault = error
    }
    try communicator.share(fault, "making of a layer")
    guard let parts else { throw .broken(operation: "making of a layer") }
    // Positions may be a function of the caller's: their table is all that there is to compare.
    try communicator.agree(parts.positionFacts)
    try self.init(parts, paddingID, communicator)
    clearPaddingRow()
  }

  /// Divides a layer that every rank has whole; each keeps a copy of its part.
  ///
  /// - Throws: `disagreement` where ranks have different layers, by their check sums; else as above.
  public convenience init(
    dividing layer: InputEmbedding, sharding: Sharding = .contiguousRows,
    over communicator: Communicator
  ) throws(DistributedError) {
    let tokenTable = layer.tokens.table
    let tokenSum = CheckSum.of(tokenTable.span)
    try communicator.agree(
      [
        ("vocabulary", "\(tokenTable.rows)"), ("dim", "\(tokenTable.dim)"),
        ("sharding", "\(sharding)"), ("padding id", "\(layer.tokens.paddingID ?? -1)"),
        ("check sum of the token table", "\(tokenSum)"),
      ] + Parts.facts(layer))
    var parts: Parts?
    var fault: DistributedError?
    do throws(DistributedError) {
      let made = try Parts(
        layer, tokenTable.rows, tokenTable.dim, sharding, layer.tokens.paddingID, communicator)
      made.tokens.take(tokenTable)
      parts = made
    } catch {
      fault = error
    }
    try communicator.share(fault, "making of a layer")
    guard let parts else { throw .broken(operation: "making of a layer") }
    try self.init(parts, layer.tokens.paddingID, communicator)
  }

  /// The tables of a layer, made before ranks know of each other whether they could.
  private struct Parts {
    let tokens: ShardedTable
    let positions: ShardedTable?
    let fixedPositions: EmbeddingTable<Float>?
    let options: EmbedOptions
    let positionFacts: [(name: String, value: String)]

    init(
      _ model: InputEmbedding, _ vocabulary: Int, _ dim: Int, _ sharding: Sharding,
      _ paddingID: Int?, _ communicator: Communicator
    ) throws(DistributedError) {
      if let paddingID, paddingID < 0 || paddingID >= vocabulary {
        throw .invalid(
          .invalidSize(
            argument: "padding id", value: paddingID, expected: "an id of 0...\(vocabulary - 1)"))
      }
      tokens = try ShardedTable(rows: vocabulary, dim: dim, sharding, communicator)
      options = model.options
      positionFacts = Self.facts(model)
      if let table = model.positions, model.positionsAreTrained {
        let divided = try ShardedTable(
          rows: table.rows, dim: dim, sharding == .columns ? .columns : .contiguousRows,
          communicator)
        divided.take(table)
        (positions, fixedPositions) = (divided, nil)
      } else {
        (positions, fixedPositions) = (nil, model.positions)
      }
    }

    /// What ranks must have alike of a layer's positions.
    static func facts(_ model: InputEmbedding) -> [(name: String, value: String)] {
      var sum: UInt32 = 0
      if let table = model.positions { sum = CheckSum.of(table.span) }
      return [
        ("position rows", "\(model.positions?.rows ?? 0)"),
        ("trained positions", "\(model.positionsAreTrained)"),
        ("options", "\(model.options)"), ("check sum of the position table", "\(sum)"),
      ]
    }
  }

  private init(
    _ parts: Parts, _ paddingID: Int?, _ communicator: Communicator
  ) throws(DistributedError) {
    self.communicator = communicator
    tokens = parts.tokens
    positions = parts.positions
    fixedPositions = parts.fixedPositions
    options = parts.options
    self.paddingID = paddingID
    tokenRequests = try RowRequests(parts.tokens.partition)
    positionRequests = try RowRequests((parts.positions ?? parts.tokens).partition)
    tokenRows = try Scratch()
    positionRows = try Scratch()
    places = try Scratch()
    sums = try Scratch()
    parcels = try GradientParcels(parts.tokens.partition)
  }

  private func clearPaddingRow() {
    guard let paddingID, let row = tokens.localRow(of: paddingID) else { return }
    let shard = tokens.shard
    for column in 0..<shard.dim { shard[row, column] = 0 }
  }

  // MARK: Forward

  /// Computes the input embeddings of this rank's batch.
  ///
  ///     output[b, t, :] = scale * tokens[ids[b, t], :] + positions[place(b, t), :]
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`; batches may differ, and be empty, contexts may not.
  ///   - output: Shape `[batch, context, dim]`.
  /// - Throws: `invalid` for arguments that do not serve, on the other ranks `refused`, `disagreement` for
  ///   ranks that do different things; before anything is written. `timeOut` and `transport`.
  /// - Complexity: Three exchanges, five with trained positions. Sends 4·U bytes of row numbers and, for each row
  ///   that ranks ask of this one, D·4; by columns, 4·U to each rank and N·D·4/R for theirs. Allocates
  ///   a word for each rank, and more only for a batch larger than any before.
  @inlinable
  public func forward<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ ids: borrowing IDs, batch: Int, context: Int, at place: PositionIDs = .sequential(),
    into output: inout Output, using kernels: Kernels = .auto
  ) throws(DistributedError) where IDs.Element: TokenID {
    try unsafe output.withMutableElements { (output) throws(DistributedError) in
      try unsafe ids.withElements { (ids) throws(DistributedError) in
        try unsafe forward(TokenIDs(ids), batch, context, place, output, kernels)
      }
    }
  }

  @usableFromInline
  func forward(
    _ ids: TokenIDs, _ batch: Int, _ context: Int, _ place: PositionIDs,
    _ output: UnsafeMutableBufferPointer<Float>, _ kernels: Kernels
  ) throws(DistributedError) {
    let shape = EmbeddingShape(vocabulary: vocabulary, batch: batch, context: context, dim: dim)
    var fault: DistributedError?
    do throws(DistributedError) {
      try unsafe DistributedError.wrapping(
        try check(ids, shape, place, UnsafeBufferPointer(output)))
      try listRows(ids, shape, place, forGradient: false)
    } catch {
      fault = error
    }
    let counts = try communicator.meet(
      CallFacts(.forward, context: context, history), fault, "forward pass",
      tokens: { tokenRequests.range(of: $0).count },
      positions: { positions == nil ? 0 : positionRequests.range(of: $0).count })

    try tokens.fetch(tokenRequests, counts.tokens, into: &tokenRows, kernels)
    var rows: Elements?
    var shownPlace = place
    var overflow = options.positionOverflow
    if let positions {
      try positions.fetch(positionRequests, counts.positions, into: &positionRows, kernels)
      unsafe rows = Elements(positionRows.first(max(1, positionRequests.count) * dim))
      shownPlace = placesOfRows(shape)
      overflow = .error
    } else if let fixedPositions {
      unsafe rows = Elements(UnsafeBufferPointer(fixedPositions.memory))
    }
    let count = max(1, tokenRequests.count)
    let slots = unsafe UnsafeBufferPointer(start: tokenRequests.slots, count: ids.count)
    let local = EmbeddingShape(vocabulary: count, batch: batch, context: context, dim: dim)
    try unsafe DistributedError.wrapping(
      try kernels.embed(
        TokenIDs(slots), Elements(tokenRows.first(count * dim)), rows, local, shownPlace,
        EmbedOptions(scale: options.scale, unknownIDs: .zeroRow, positionOverflow: overflow),
        Elements(UnsafeBufferPointer(output))))
  }

  /// Checks a batch before ranks meet.
  func check(
    _ ids: TokenIDs, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ elements: UnsafeBufferPointer<Float>, _ name: String = "output"
  ) throws(EmbedError) {
    let counts = try shape.check()
    guard ids.count == counts.ids else {
      throw .wrongElementCount(
        argument: "ids", expected: counts.ids, shape: [shape.batch, shape.context],
        actual: ids.count)
    }
    guard elements.count == counts.output else {
      throw .wrongElementCount(
        argument: name, expected: counts.output, shape: [shape.batch, shape.context, dim],
        actual: elements.count)
    }
    if options.unknownIDs == .error, !ids.areAll(below: vocabulary),
      let error = ids.firstOutside(vocabulary, context: shape.context)
    {
      throw error
    }
    let maximum = positions?.rows ?? fixedPositions?.rows ?? .max
    if try !place.check(batch: shape.batch, context: shape.context, maximum: maximum),
      options.positionOverflow != .clamp
    {
      throw place.overflow(batch: shape.batch, context: shape.context, maximum: maximum)
    }
    let memory = unsafe Memory(elements.baseAddress, elements.count * 4)
    if memory.overlaps(unsafe Memory(ids.base, ids.bytes)) {
      throw .overlappingMemory(argument: "ids")
    }
  }

  /// Lists the rows that a checked batch reads; for its gradient without those of padding.
  func listRows(
    _ ids: TokenIDs, _ shape: EmbeddingShape, _ place: PositionIDs, forGradient: Bool
  ) throws(DistributedError) {
    let (vocabulary, clamps) = (vocabulary, options.unknownIDs == .clamp)
    let padding = forGradient ? paddingID ?? -1 : -1
    try tokenRequests.list(ids.count, tokens.partition) { token in
      var row = ids[token]
      if row < 0 || row >= vocabulary {
        guard clamps else { return -1 }
        row = max(0, min(row, vocabulary - 1))
      }
      return row == padding ? -1 : row
    }
    guard let positions else { return }
    try self.places.reserve(ids.count)
    let (rows, last) = unsafe (self.places.base, positions.rows - 1)
    place.withPlaces(context: shape.context) { walk in
      walk.forEachRun(context: shape.context, in: 0..<ids.count) { start, count, position in
        for i in 0..<count {
          unsafe rows[start + i] = Int32(truncatingIfNeeded: min(position + i, last))
        }
      }
    }
    try positionRequests.list(ids.count, positions.partition) { unsafe Int(rows[$0]) }
  }

  /// Where each token's position stands among the fetched rows.
  private func placesOfRows(_ shape: EmbeddingShape) -> PositionIDs {
    let (count, slots) = unsafe (shape.batch * shape.context, positionRequests.slots)
    let isSequential = (0..<count).allSatisfy { unsafe Int(slots[$0]) == $0 % shape.context }
    if isSequential { return .sequential() }
    return .explicit(unsafe Array(UnsafeBufferPointer(start: slots, count: count)))
  }

  /// Allocates an output `[batch, context, dim]`.
  ///
  /// - Throws: `invalid`.
  public func makeOutput(batch: Int, context: Int) throws(DistributedError) -> AlignedBuffer<Float>
  {
    try DistributedError.wrapping(
      try AlignedBuffer(count: elementCount("output", batch, context, dim)))
  }
}
