// The backward pass: from the logits' gradient to that of every parameter, the blocks from the last to
// the first. Gradients of the residual stream are added to where it branches.

public import EmbedKernel

extension GPT {
  /// The mean loss of a batch and the gradients of all parameters.
  ///
  /// Bit for bit the same from run to run, on every number of threads and whatever runs beside it;
  /// another CPU's kernels may sum in another order.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - targets: The token that follows each, `[batch, context]`.
  ///   - weight: Multiplies the gradients: of a micro-batch, its share of the batch's tokens.
  ///   - writing: Whether gradients replace what `parameters` hold or are added to it.
  ///   - workspace: Made for training this model, with room for the batch.
  /// - Throws: `EmbedError` for sizes and ids; before any gradient is written. Allocates nothing once
  ///   a batch as large has run.
  public func gradients(
    _ ids: Span<Int32>, targets: Span<Int32>, batch: Int, context: Int, weight: Float = 1,
    _ writing: GradientWriting, in workspace: GPTWorkspace
  ) throws(EmbedError) -> Double {
    let call = try Batch(
      ids, targets: targets, batch: batch, context: context, workspace, configuration)
    guard let memory = workspace.gradients else {
      throw .unsupported(
        argument: "workspace", value: "evaluation", expected: "one made for training")
    }
    guard weight.isFinite else {
      throw .invalidValue(
        argument: "weight", value: Double(weight), expected: "a finite number")
    }
    guard positions == nil || input.positionsAreTrained else {
      throw .unsupported(
        argument: "positions", value: "stretched", expected: "as trained: a stretched model is read"
      )
    }
    try OneThreadedBLAS.run { () throws(EmbedError) in
      try forward(call, workspace)
      backwardHead(call, workspace, memory, weight / Float(call.tokens), writing)
      if let bias = unsafe memory.bias {
        let count = configuration.heads * call.context * call.context
        unsafe bias.update(repeating: 0, count: count)
      }
      for layer in (0..<configuration.layers).reversed() {
        try backward(call, blocks[layer], workspace.blocks[layer], memory, workspace, writing)
      }
      try backwardBias(call, workspace, memory, writing)
      try backwardInput(call, workspace, memory, writing)
    }
    return meanLoss(call, workspace)
  }

  /// The head and `ln_f`: leaves the gradient of the last block's output in `memory.residual`.
  private func backwardHead(
    _ call: Batch, _ workspace: GPTWorkspace, _ memory: GradientMemory, _ scale: Float,
    _ writing: GradientWriting
  ) {
    let (tokens, dim, threads) = (call.tokens, configuration.dim, workspace.threads)
    let hiddenGradient = unsafe StridedMatrix(memory.rows, tokens, dim)
    forEachLogitChunk(call, workspace) { range, hidden, rows in
      Parallel.rows(rows.rows, threads, rows.crossEntropy(scale: scale))
      MatrixProduct.multiply(
        rows.matrix, head.matrix, .overwrite, hiddenGradient.rows(range), threads: threads)
      MatrixProduct.multiply(
        rows.matrix.transposed, hidden, range.lowerBound == 0 ? writing : .accumulate,
        head.gradientMatrix, threads: threads)
    }
    unsafe memory.residual.update(repeating: 0, count: tokens * dim)
    let norm = unsafe LayerNormBackward(
      gradient: memory.rows, input: workspace.final.input,
      norm: workspace.final.norm(finalNorm, tokens: tokens), inputGradient: memory.residual,
      sums: memory.normSums, rows: tokens, dim: dim)
    norm.run(threads: threads, finalNorm, writing)
  }

  private func backward(
    _ call: Batch, _ block: Block, _ kept: BlockActivations, _ memory: GradientMemory,
    _ workspace: GPTWorkspace, _ writing: GradientWriting
  ) throws(EmbedError) {
    let (tokens, dim, threads) = (call.tokens, configuration.dim, workspace.threads)
    let innerDim = configuration.innerDim
    let residual = unsafe StridedMatrix(memory.residual, tokens, dim)
    let rows = unsafe StridedMatrix(memory.rows, tokens, dim)
    let inner = unsafe StridedMatrix(memory.inner, tokens, innerDim)

    unsafe backward(
      block.innerOutput, residual, input: StridedMatrix(kept.activated, tokens, innerDim), inner,
      writing, threads)
    Parallel.rows(
      tokens, threads,
      unsafe GELUBackward(input: kept.inner, gradient: memory.inner, dim: innerDim))
    unsafe backward(
      block.inner, inner, input: StridedMatrix(kept.secondNormed, tokens, dim), rows, writing,
      threads)
    unsafe LayerNormBackward(
      gradient: memory.rows, input: kept.middle, norm: kept.secondNorm(block, tokens: tokens),
      inputGradient: memory.residual, sums: memory.normSums, rows: tokens, dim: dim
    ).run(threads: threads, block.secondNorm, writing)

    unsafe backward(
      block.attentionOutput, residual, input: StridedMatrix(kept.attended, tokens, dim), rows,
      writing, threads)
    unsafe AttentionBackward(
      rows: self.rows(call, kept), gradient: memory.rows,
      queryKeyGradient: memory.queriesAndKeys, valueGradient: memory.values,
      biasGradient: memory.bias, scratch: memory.tiles, parts: threads
    ).run(threads: threads)
    unsafe try rotate(memory.queriesAndKeys, call, .backward, threads)
    let normed = unsafe StridedMatrix(kept.firstNormed, tokens, dim)
    unsafe backward(
      block.attention, columns: 0..<2 * dim, StridedMatrix(memory.queriesAndKeys, tokens, 2 * dim),
      input: normed, rows, writing, threads)
    unsafe backward(
      block.attention, columns: 2 * dim..<3 * dim, StridedMatrix(memory.values, tokens, dim),
      input: normed, inputWriting: .accumulate, rows, writing, threads)
    unsafe LayerNormBackward(
      gradient: memory.rows, input: kept.input, norm: kept.firstNorm(block, tokens: tokens),
      inputGradient: memory.residual, sums: memory.normSums, rows: tokens, dim: dim
    ).run(threads: threads, block.firstNorm, writing)
  }

  /// A linear layer's gradients: of its input, weight and bias.
  ///
  /// - Parameter columns: Those of its output that the gradient is of; nil for all.
  private func backward(
    _ layer: LinearParameters, columns: Range<Int>? = nil, _ gradient: StridedMatrix,
    input: StridedMatrix, inputWriting: GradientWriting = .overwrite,
    _ inputGradient: StridedMatrix, _ writing: GradientWriting, _ threads: Int
  ) {
    let columns = columns ?? 0..<gradient.columns
    MatrixProduct.multiply(
      gradient, layer.weight.matrix.columns(columns).transposed, inputWriting, inputGradient,
      threads: threads)
    MatrixProduct.multiply(
      input.transposed, gradient, writing, layer.weight.gradientMatrix.columns(columns),
      threads: threads)
    unsafe ColumnSums(
      rows: gradient.base, count: gradient.rows, dim: columns.count,
      sums: layer.bias.gradientMatrix.base + columns.lowerBound, writing: writing
    ).run(threads: threads)
  }

  /// The trained bias of attention logits, whose gradient all blocks have summed.
  private func backwardBias(
    _ call: Batch, _ workspace: GPTWorkspace, _ memory: GradientMemory,
    _ writing: GradientWriting
  ) throws(EmbedError) {
    guard let bias = parts.bias, let weights = biasWeights, let sums = unsafe memory.bias else {
      return
    }
    let (heads, context) = (configuration.heads, call.context)
    if writing == .overwrite { weights.gradient.removeAll() }
    var target = unsafe MutableSpan(_unsafeElements: weights.gradient.unsafeBuffer)
    try Kernels.auto.threads(workspace.threads).addBiasGradient(
      bias, logitsGradient: unsafe Span(_unsafeStart: sums, count: heads * context * context),
      shape: AttentionShape(heads: heads, queries: context, keys: context), mask: mask,
      workspace: &workspace.biasWorkspace, into: &target)
  }

  /// The tables of the input: to that of tokens a tied head has added already.
  private func backwardInput(
    _ call: Batch, _ workspace: GPTWorkspace, _ memory: GradientMemory,
    _ writing: GradientWriting
  ) throws(EmbedError) {
    let tokenWriting = configuration.head == .tied ? .accumulate : writing
    let gradient = unsafe UnsafeBufferPointer(
      start: memory.residual, count: call.tokens * configuration.dim)
    let options = BackwardOptions(scale: input.options.scale)
    let kernels = Kernels.auto.threads(workspace.threads)
    let shape = input.shape(batch: call.batch, context: call.context)
    if let positions {
      unsafe try kernels.backward(
        gradient, ids: call.ids, shape: shape, options: options,
        tokens: .dense(tokens.gradient.unsafeBuffer, tokenWriting),
        positions: .dense(positions.gradient.unsafeBuffer, writing),
        workspace: &workspace.backward)
    } else {
      unsafe try kernels.backward(
        gradient, ids: call.ids, shape: shape, options: options,
        tokens: .dense(tokens.gradient.unsafeBuffer, tokenWriting), positions: .none,
        workspace: &workspace.backward)
    }
  }
}
