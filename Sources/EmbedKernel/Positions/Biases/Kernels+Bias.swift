// The entrance of attention biases: add one to logits, write one, and its gradient.
//
// B batch, H heads, Q queries, K keys, d head dim.

extension Kernels {
  /// Adds a bias to attention logits, and lays the mask.
  ///
  ///     for b, h, i, j:
  ///       logits[b, h, i, j] += bias(h, place(b, i), place(b, j)), or = -infinity where masked
  ///
  /// The logits may be any tile of queries against keys: their positions say where they stand.
  /// Queries and keys of different packed documents get no bias, and are masked by `.documents`.
  /// Padding keys get none and are masked by `.padding`; rows of padding queries are left alone.
  /// Bit for bit the same for every backend and number of threads where the bias depends on
  /// positions alone.
  ///
  /// - Parameters:
  ///   - logits: Shape `[batch, heads, queries, keys]`.
  ///   - shape: The four sizes.
  ///   - queries: Where the queries stand, `[batch, queries]`; by default at their row.
  ///   - keys: Where the keys stand, `[batch, keys]`; by default at their column.
  ///   - content: The vectors that content-dependent schemes read.
  /// - Throws: `EmbedError`, before anything is written.
  /// - Complexity: O(B·H·Q·K). A `DistanceTable` reads and writes each logit once and allocates
  ///   nothing once its table reaches far enough.
  public func addBias(
    _ bias: any AttentionBias, to logits: inout MutableSpan<Float>, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    mask: AttentionMask = []
  ) throws(EmbedError) {
    try unsafe bias.run(
      self, logits.withUnsafeMutableBufferPointer { unsafe $0 }, shape, queries, keys, mask,
      AttentionVectors(), overwrites: false)
  }

  /// The same on a buffer pointer.
  public func addBias(
    _ bias: any AttentionBias, to logits: UnsafeMutableBufferPointer<Float>, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    mask: AttentionMask = []
  ) throws(EmbedError) {
    try unsafe bias.run(
      self, logits, shape, queries, keys, mask, AttentionVectors(), overwrites: false)
  }

  /// Writes a bias and the mask, shape `[batch, heads, queries, keys]`; what is neither biased nor
  /// masked becomes 0.
  public func writeBias(
    _ bias: any AttentionBias, into output: inout MutableSpan<Float>, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    mask: AttentionMask = []
  ) throws(EmbedError) {
    try unsafe bias.run(
      self, output.withUnsafeMutableBufferPointer { unsafe $0 }, shape, queries, keys, mask,
      AttentionVectors(), overwrites: true)
  }

  /// Adds a bias that depends on the queries' vectors, and on the keys' where the scheme reads them.
  ///
  /// - Parameters:
  ///   - queryVectors: Shape `[batch, heads, queries, headDim]`.
  ///   - keyVectors: Shape `[batch, heads, keys, headDim]`.
  public func addBias(
    _ bias: any AttentionBias, queryVectors: Span<Float>, keyVectors: Span<Float>,
    to logits: inout MutableSpan<Float>, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    mask: AttentionMask = []
  ) throws(EmbedError) {
    let vectors = unsafe AttentionVectors(
      queries: queryVectors.withUnsafeBufferPointer { unsafe $0 },
      keys: keyVectors.withUnsafeBufferPointer { unsafe $0 })
    try unsafe bias.run(
      self, logits.withUnsafeMutableBufferPointer { unsafe $0 }, shape, queries, keys, mask,
      vectors, overwrites: false)
  }

  /// Adds the gradient of a bias's parameters to `gradient`, from the gradient of the logits.
  ///
  /// - Parameters:
  ///   - logitsGradient: Shape `[batch, heads, queries, keys]`. What the mask hides is not read.
  ///   - workspace: Memory kept from call to call; it grows where a call needs more.
  ///   - gradient: Shape `[parameterCount]`, in the order that the scheme says.
  /// - Throws: `EmbedError`, before `gradient` is written.
  public func addBiasGradient(
    _ bias: any TrainedBias, logitsGradient: Span<Float>, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    mask: AttentionMask = [], workspace: inout BiasWorkspace,
    into gradient: inout MutableSpan<Float>
  ) throws(EmbedError) {
    try unsafe bias.runGradient(
      self, logitsGradient.withUnsafeBufferPointer { unsafe $0 }, shape, queries, keys, mask,
      AttentionVectors(), AttentionGradients(), &workspace,
      gradient.withUnsafeMutableBufferPointer { unsafe $0 })
  }

  /// The same for a bias that depends on vectors, whose gradients are added to as well.
  ///
  /// - Parameters:
  ///   - queryGradient: Shape `[batch, heads, queries, headDim]`.
  ///   - keyGradient: Shape `[batch, heads, keys, headDim]`.
  public func addBiasGradient(
    _ bias: any TrainedBias, logitsGradient: Span<Float>, queryVectors: Span<Float>,
    keyVectors: Span<Float>, shape: AttentionShape, queries: PositionIDs = .sequential(),
    keys: PositionIDs = .sequential(), mask: AttentionMask = [],
    workspace: inout BiasWorkspace, into gradient: inout MutableSpan<Float>,
    queryGradient: inout MutableSpan<Float>, keyGradient: inout MutableSpan<Float>
  ) throws(EmbedError) {
    let vectors = unsafe AttentionVectors(
      queries: queryVectors.withUnsafeBufferPointer { unsafe $0 },
      keys: keyVectors.withUnsafeBufferPointer { unsafe $0 })
    let gradients = unsafe AttentionGradients(
      queries: queryGradient.withUnsafeMutableBufferPointer { unsafe $0 },
      keys: keyGradient.withUnsafeMutableBufferPointer { unsafe $0 })
    try unsafe bias.runGradient(
      self, logitsGradient.withUnsafeBufferPointer { unsafe $0 }, shape, queries, keys, mask,
      vectors, gradients, &workspace, gradient.withUnsafeMutableBufferPointer { unsafe $0 })
  }
}
