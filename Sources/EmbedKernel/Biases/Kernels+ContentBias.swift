// The entrance of attention biases that depend on the vectors of queries and keys.
//
// B batch, H heads, Q queries, K keys, d head dim.

extension Kernels {
  /// Adds a bias that depends on the queries' vectors, and on the keys' where the scheme reads them.
  ///
  /// - Parameters:
  ///   - queryVectors: Shape `[batch, heads, queries, headDim]`.
  ///   - keyVectors: Shape `[batch, heads, keys, headDim]`.
  /// - Throws: `EmbedError`, before anything is written.
  public func addBias(
    _ bias: any AttentionBias, queryVectors: Span<Float>, keyVectors: Span<Float>,
    to logits: inout MutableSpan<Float>, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    mask: AttentionMask = []
  ) throws(EmbedError) {
    let vectors = unsafe AttentionVectors(
      queries: queryVectors.withUnsafeBufferPointer { unsafe $0 },
      keys: keyVectors.withUnsafeBufferPointer { unsafe $0 })
    let written = unsafe logits.withUnsafeMutableBufferPointer { unsafe $0 }
    try bias.run(
      self, unsafe Elements(UnsafeBufferPointer(written)), shape, queries, keys, mask,
      vectors, overwrites: false)
  }

  /// The same for vectors and logits of any element type.
  ///
  /// Two-byte vectors are widened to floats in the workspace, `batch * heads * (queries + keys) *
  /// headDim` of them; two-byte logits block by block on the stack, and rounded once.
  @inlinable
  public func addBias<Element: TableElement>(
    _ bias: any AttentionBias, queryVectors: Span<Element>, keyVectors: Span<Element>,
    to logits: inout MutableSpan<Element>, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    mask: AttentionMask = [], workspace: inout BiasWorkspace
  ) throws(EmbedError) {
    let written = unsafe logits.withUnsafeMutableBufferPointer { unsafe $0 }
    try run(
      bias, unsafe Elements(queryVectors.withUnsafeBufferPointer { unsafe $0 }),
      unsafe Elements(keyVectors.withUnsafeBufferPointer { unsafe $0 }),
      unsafe Elements(UnsafeBufferPointer(written)), shape, queries, keys, mask, &workspace)
  }

  @usableFromInline
  func run(
    _ bias: any AttentionBias, _ queryVectors: Elements, _ keyVectors: Elements,
    _ logits: Elements, _ shape: AttentionShape, _ queries: PositionIDs,
    _ keys: PositionIDs, _ mask: AttentionMask, _ workspace: inout BiasWorkspace
  ) throws(EmbedError) {
    let floats = try unsafe workspace.floats(queryVectors, keyVectors, self)
    try unsafe bias.run(
      self, logits, shape, queries, keys, mask,
      AttentionVectors(queries: floats.0, keys: floats.1), overwrites: false)
  }

  /// Adds the gradients of a bias's parameters, and of the vectors that it reads.
  ///
  /// - Parameters:
  ///   - logitsGradient: Shape `[batch, heads, queries, keys]`. What the mask hides is not read.
  ///   - queryVectors: Shape `[batch, heads, queries, headDim]`.
  ///   - keyVectors: Shape `[batch, heads, keys, headDim]`.
  ///   - workspace: Memory kept from call to call; it grows where a call needs more.
  ///   - gradient: Shape `[parameterCount]`, in the order that the scheme says.
  ///   - queryGradient: The queries' shape, floats whatever the vectors are.
  ///   - keyGradient: The keys' shape, likewise.
  /// - Throws: `EmbedError`, before a gradient is written.
  @inlinable
  public func addBiasGradient<Element: TableElement>(
    _ bias: any TrainedBias, logitsGradient: Span<Element>, queryVectors: Span<Element>,
    keyVectors: Span<Element>, shape: AttentionShape, queries: PositionIDs = .sequential(),
    keys: PositionIDs = .sequential(), mask: AttentionMask = [],
    workspace: inout BiasWorkspace, into gradient: inout MutableSpan<Float>,
    queryGradient: inout MutableSpan<Float>, keyGradient: inout MutableSpan<Float>
  ) throws(EmbedError) {
    try unsafe runGradient(
      bias, unsafe Elements(logitsGradient.withUnsafeBufferPointer { unsafe $0 }),
      unsafe Elements(queryVectors.withUnsafeBufferPointer { unsafe $0 }),
      unsafe Elements(keyVectors.withUnsafeBufferPointer { unsafe $0 }), shape, queries,
      keys, mask, &workspace, unsafe gradient.withUnsafeMutableBufferPointer { unsafe $0 },
      unsafe queryGradient.withUnsafeMutableBufferPointer { unsafe $0 },
      unsafe keyGradient.withUnsafeMutableBufferPointer { unsafe $0 })
  }

  @usableFromInline
  func runGradient(
    _ bias: any TrainedBias, _ logits: Elements, _ queryVectors: Elements,
    _ keyVectors: Elements, _ shape: AttentionShape, _ queries: PositionIDs,
    _ keys: PositionIDs, _ mask: AttentionMask, _ workspace: inout BiasWorkspace,
    _ gradient: UnsafeMutableBufferPointer<Float>,
    _ queryGradient: UnsafeMutableBufferPointer<Float>,
    _ keyGradient: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    let floats = try unsafe workspace.floats(queryVectors, keyVectors, self)
    try unsafe bias.runGradient(
      self, logits, shape, queries, keys, mask,
      AttentionVectors(queries: floats.0, keys: floats.1),
      AttentionGradients(queries: queryGradient, keys: keyGradient), &workspace, gradient)
  }
}
