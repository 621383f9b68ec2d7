// The entrance of attention biases of positions alone: add one to logits, write one, and its
// gradient.
//
// B batch, H heads, Q queries, K keys.

extension Kernels {
  /// Adds a bias to attention logits, and lays the mask.
  ///
  ///     for b, h, i, j:
  ///       logits[b, h, i, j] += bias(h, place(b, i), place(b, j)), or = -infinity where masked
  ///
  /// The logits may be any tile of queries against keys: their positions say where they stand.
  /// Queries and keys of different packed documents get no bias, and are masked by `.documents`.
  /// Padding keys get none and are masked by `.padding`; rows of padding queries are left alone.
  /// 16-bit logits are widened to floats, added to, and rounded once to nearest even. Bit for bit
  /// the same for every backend and number of threads.
  ///
  /// - Parameters:
  ///   - logits: Shape `[batch, heads, queries, keys]`.
  ///   - shape: The four sizes.
  ///   - queries: Where the queries stand, `[batch, queries]`; by default at their row.
  ///   - keys: Where the keys stand, `[batch, keys]`; by default at their column.
  ///   - mask: What becomes minus infinity.
  /// - Throws: `EmbedError`, before anything is written.
  /// - Complexity: O(B·H·Q·K). A `DistanceTable` reads and writes each logit once and allocates
  ///   nothing once its table reaches far enough; where positions are consecutive in each sequence,
  ///   a call does nothing else that grows with the context.
  @inlinable
  public func addBias<Logits: WritableElements & ~Copyable & ~Escapable>(
    _ bias: any AttentionBias, to logits: inout Logits, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    mask: AttentionMask = []
  ) throws(EmbedError) where Logits.Element: TableElement {
    try unsafe logits.withMutableElements { (logits) throws(EmbedError) in
      try add(bias, unsafe Elements(UnsafeBufferPointer(logits)), shape, queries, keys, mask)
    }
  }

  /// Writes a bias and the mask, shape `[batch, heads, queries, keys]`; what is neither biased nor
  /// masked becomes 0.
  @inlinable
  public func writeBias<Output: WritableElements & ~Copyable & ~Escapable>(
    _ bias: any AttentionBias, into output: inout Output, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    mask: AttentionMask = []
  ) throws(EmbedError) where Output.Element: TableElement {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try add(
        bias, unsafe Elements(UnsafeBufferPointer(output)), shape, queries, keys, mask,
        overwrites: true)
    }
  }

  /// Adds the gradient of a bias's parameters to `gradient`, from the gradient of the logits.
  ///
  /// 16-bit gradients are widened and summed as floats.
  ///
  /// - Parameters:
  ///   - logitsGradient: Shape `[batch, heads, queries, keys]`. What the mask hides is not read.
  ///   - workspace: Memory kept from call to call; it grows where a call needs more.
  ///   - gradient: Shape `[parameterCount]`, in the order that the scheme says.
  /// - Throws: `EmbedError`, before `gradient` is written.
  @inlinable
  public func addBiasGradient<
    Logits: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ bias: any TrainedBias, logitsGradient: borrowing Logits, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    mask: AttentionMask = [], workspace: inout BiasWorkspace, into gradient: inout Output
  ) throws(EmbedError) where Logits.Element: TableElement {
    try unsafe logitsGradient.withElements { (logitsGradient) throws(EmbedError) in
      try unsafe gradient.withMutableElements { (gradient) throws(EmbedError) in
        try unsafe addGradient(
          bias, Elements(logitsGradient), shape, queries, keys, mask, AttentionVectors(),
          AttentionGradients(), &workspace, gradient)
      }
    }
  }
}

extension Kernels {
  /// Checks a call and runs it.
  @usableFromInline
  package func add(
    _ bias: any AttentionBias, _ logits: Elements, _ shape: AttentionShape,
    _ queries: PositionIDs, _ keys: PositionIDs, _ mask: AttentionMask,
    _ vectors: AttentionVectors = unsafe AttentionVectors(), overwrites: Bool = false
  ) throws(EmbedError) {
    if let table = bias.distanceTable {
      try table.withCall(self, logits, shape, queries, keys, mask, overwrites: overwrites) {
        (call) throws(EmbedError) in table.add(call)
      }
    } else {
      try bias.withCall(
        self, logits, shape, queries, keys, mask, vectors, overwrites: overwrites
      ) { (call) throws(EmbedError) in
        let blocks = BiasBlocks(call, bias)
        Threads.split(blocks.count, call.plan.threads, blocks)
      }
    }
  }

  /// The same for a backward call.
  @usableFromInline
  package func addGradient(
    _ bias: any TrainedBias, _ logits: Elements, _ shape: AttentionShape,
    _ queries: PositionIDs, _ keys: PositionIDs, _ mask: AttentionMask,
    _ vectors: AttentionVectors, _ gradients: AttentionGradients,
    _ workspace: inout BiasWorkspace, _ parameters: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    try unsafe bias.addGradient(
      self, logits, shape, queries, keys, mask, vectors, gradients, &workspace, into: parameters)
  }
}
