// The forward pass: ids to normalised hidden states, block by block.

internal import CKernels
internal import EmbedKernel

extension GPT {
  /// Runs a call up to `ln_f`; the hidden states are in `workspace.final.normed`.
  ///
  /// Allocates nothing.
  ///
  /// - Throws: `tokenOutOfRange`, `contextTooLong`; before anything is computed.
  func forward(_ call: Batch, _ workspace: GPTWorkspace) throws(EmbedError) {
    let (tokens, dim, threads) = (call.tokens, configuration.dim, workspace.threads)
    var embedded = unsafe UnsafeMutableBufferPointer(
      start: workspace.blocks[0].input, count: tokens * dim)
    try unsafe input.forward(
      call.ids, batch: call.batch, context: call.context, into: &embedded,
      using: .auto.threads(threads))
    try writeBias(call, workspace)
    for layer in 0..<configuration.layers {
      try forward(call, blocks[layer], workspace.blocks[layer], workspace)
    }
    let final = workspace.final
    unsafe normalize(
      final.input, final.norm(finalNorm, tokens: tokens), into: final.normed, tokens, threads)
  }

  private func forward(
    _ call: Batch, _ block: Block, _ kept: BlockActivations, _ workspace: GPTWorkspace
  ) throws(EmbedError) {
    let (tokens, dim, threads) = (call.tokens, configuration.dim, workspace.threads)
    unsafe normalize(
      kept.input, kept.firstNorm(block, tokens: tokens), into: kept.firstNormed, tokens, threads)
    let normed = unsafe StridedMatrix(kept.firstNormed, tokens, dim)
    unsafe linear(
      normed, block.attention, columns: 0..<2 * dim,
      into: StridedMatrix(kept.queriesAndKeys, tokens, 2 * dim), threads)
    unsafe linear(
      normed, block.attention, columns: 2 * dim..<3 * dim,
      into: StridedMatrix(kept.values, tokens, dim), threads)
    unsafe try rotate(kept.queriesAndKeys, call, .forward, threads)
    let attention = unsafe AttentionForward(
      rows: rows(call, kept), bias: workspace.final.bias, output: kept.attended)
    Parallel.rows(call.batch * configuration.heads, threads, attention)
    unsafe linear(
      StridedMatrix(kept.attended, tokens, dim), block.attentionOutput, addedTo: kept.input,
      into: StridedMatrix(kept.middle, tokens, dim), threads)

    unsafe normalize(
      kept.middle, kept.secondNorm(block, tokens: tokens), into: kept.secondNormed, tokens, threads)
    let inner = unsafe StridedMatrix(kept.inner, tokens, configuration.innerDim)
    unsafe linear(
      StridedMatrix(kept.secondNormed, tokens, dim), block.inner, into: inner, threads)
    Parallel.rows(
      tokens, threads,
      unsafe GELUForward(input: kept.inner, output: kept.activated, dim: configuration.innerDim))
    unsafe linear(
      StridedMatrix(kept.activated, tokens, configuration.innerDim), block.innerOutput,
      addedTo: kept.middle, into: StridedMatrix(kept.output, tokens, dim), threads)
  }

  private func normalize(
    _ input: UnsafeMutablePointer<Float>, _ norm: NormRows,
    into output: UnsafeMutablePointer<Float>, _ tokens: Int, _ threads: Int
  ) {
    Parallel.rows(
      tokens, threads,
      unsafe LayerNormForward(input: input, norm: norm, output: output, dim: configuration.dim))
  }

  /// output = input * weight + bias, or some columns of it, and the residual stream where there is one.
  private func linear(
    _ input: StridedMatrix, _ layer: LinearParameters, columns: Range<Int>? = nil,
    addedTo residual: UnsafeMutablePointer<Float>? = nil, into output: StridedMatrix, _ threads: Int
  ) {
    let columns = columns ?? 0..<output.columns
    let bias = unsafe layer.bias.matrix.base + columns.lowerBound
    Parallel.rows(
      output.rows, threads,
      unsafe BiasRows(input: residual, bias: bias, output: output.base, dim: output.columns))
    MatrixProduct.multiply(
      input, layer.weight.matrix.columns(columns), .accumulate, output, threads: threads)
  }

  /// The sizes and data of a block's attention.
  func rows(_ call: Batch, _ kept: BlockActivations) -> AttentionRows {
    unsafe AttentionRows(
      batch: call.batch, heads: configuration.heads, context: call.context,
      headDim: configuration.headDim, isCausal: configuration.direction == .causal,
      queriesAndKeys: kept.queriesAndKeys, values: kept.values,
      probabilities: kept.probabilities)
  }

  /// Turns queries and keys, which lie as one tensor of twice the heads.
  func rotate(
    _ queriesAndKeys: UnsafeMutablePointer<Float>, _ call: Batch,
    _ direction: RotaryDirection, _ threads: Int
  ) throws(EmbedError) {
    guard let rotary = parts.rotary else { return }
    let shape = RotaryShape(
      batch: call.batch, heads: 2 * configuration.heads, context: call.context,
      headDim: configuration.headDim, order: .contextFirst)
    let elements = unsafe UnsafeMutableBufferPointer(
      start: queriesAndKeys, count: call.tokens * 2 * configuration.dim)
    unsafe try rotary.rotate(
      UnsafeBufferPointer(elements), shape: shape, direction, into: elements,
      using: .auto.threads(threads))
  }

  /// The mask, where a bias needs one.
  var mask: AttentionMask { configuration.direction == .causal ? .causal : [] }

  /// Writes the bias of all heads, which blocks and sequences share.
  private func writeBias(_ call: Batch, _ workspace: GPTWorkspace) throws(EmbedError) {
    guard let bias = parts.bias, let memory = unsafe workspace.final.bias else { return }
    if biasWeights != nil { bias.refresh() }
    let (heads, context) = (configuration.heads, call.context)
    var span = unsafe MutableSpan(_unsafeStart: memory, count: heads * context * context)
    try Kernels.auto.threads(workspace.threads).writeBias(
      bias, into: &span, shape: AttentionShape(heads: heads, queries: context, keys: context),
      mask: mask)
  }
}
