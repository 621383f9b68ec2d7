// The entrance of attention biases that depend on the vectors of queries and keys.
//
// B batch, H heads, Q queries, K keys, d head dim.

public import EmbedKernel

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
    try add(
      bias, unsafe Elements(UnsafeBufferPointer(written)), shape, queries, keys, mask, vectors)
  }

  /// The same for vectors and logits of any element type.
  ///
  /// 16-bit vectors are widened to floats in the workspace, `batch * heads * (queries + keys) *
  /// headDim` of them; 16-bit logits block by block on the stack, and rounded once.
  @inlinable
  public func addBias<Element: TableElement>(
    _ bias: any AttentionBias, queryVectors: Span<Element>, keyVectors: Span<Element>,
    to logits: inout MutableSpan<Element>, shape: AttentionShape,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential(),
    mask: AttentionMask = [], workspace: inout BiasWorkspace
  ) throws(EmbedError) {
    let written = unsafe logits.withUnsafeMutableBufferPointer { unsafe $0 }
    let vectors = try unsafe workspace.vectors(
      Elements(queryVectors.withUnsafeBufferPointer { unsafe $0 }),
      Elements(keyVectors.withUnsafeBufferPointer { unsafe $0 }), self)
    try add(
      bias, unsafe Elements(UnsafeBufferPointer(written)), shape, queries, keys, mask, vectors)
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
    let vectors = try unsafe workspace.vectors(
      Elements(queryVectors.withUnsafeBufferPointer { unsafe $0 }),
      Elements(keyVectors.withUnsafeBufferPointer { unsafe $0 }), self)
    let gradients = unsafe AttentionGradients(
      queries: queryGradient.withUnsafeMutableBufferPointer { unsafe $0 },
      keys: keyGradient.withUnsafeMutableBufferPointer { unsafe $0 })
    try unsafe addGradient(
      bias, Elements(logitsGradient.withUnsafeBufferPointer { unsafe $0 }), shape, queries,
      keys, mask, vectors, gradients, &workspace,
      gradient.withUnsafeMutableBufferPointer { unsafe $0 })
  }
}
