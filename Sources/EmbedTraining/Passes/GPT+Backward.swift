// The backward pass: from the logits' gradient to that of every parameter, the blocks from the last to
// the first. Gradients of the residual stream are added to where it branches.

internal import CKernels
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
    let memory = try gradientMemory(workspace)
    guard weight.isFinite else {
      throw .invalidValue(
        argument: "weight", value: Double(weight), expected: "a finite number")
    }
    try OneThreadedBLAS.run { () throws(EmbedError) in
      try forward(call, workspace)
      unsafe logits(call, workspace)?.gradients(
        scale: weight / Float(call.tokens),
        StridedMatrix(memory.rows, call.tokens, configuration.dim), head.gradientMatrix, writing)
      try backward(
        call, workspace, memory, tokens: configuration.head == .tied ? .accumulate : writing,
        writing)
    }
    return meanLoss(call, workspace)
  }

  /// The memory of gradients, of a workspace that has it, for a model that can be trained.
  func gradientMemory(_ workspace: GPTWorkspace) throws(EmbedError) -> GradientMemory {
    guard let memory = workspace.gradients else {
      throw .unsupported(
        argument: "workspace", value: "evaluation", expected: "one made for training")
    }
    guard positions == nil || input.positionsAreTrained else {
      throw .unsupported(
        argument: "positions", value: "stretched", expected: "as trained: a stretched model is read"
      )
    }
    return memory
  }

  /// All but the head, from the gradient of the hidden states after `ln_f` in `memory.rows`.
  ///
  /// - Parameters:
  ///   - tokens: How that of the token table is written, to which a tied head has added.
  ///   - writing: How those of all others are.
  func backward(
    _ call: Batch, _ workspace: GPTWorkspace, _ memory: GradientMemory, tokens: GradientWriting,
    _ writing: GradientWriting
  ) throws(EmbedError) {
    backwardFinalNorm(call, workspace, memory, writing)
    if let distances = unsafe workspace.attention.distances {
      let count = configuration.reach(call.context).count
      unsafe distances.update(repeating: 0, count: call.batch * configuration.heads * count)
    }
    for layer in (0..<configuration.layers).reversed() {
      try backward(call, blocks[layer], workspace.blocks[layer], memory, workspace, writing)
    }
    backwardBias(call, workspace, writing)
    try backwardInput(call, workspace, memory, tokens: tokens, writing)
  }

  /// `ln_f`: leaves the gradient of the last block's output in `memory.residual`.
  private func backwardFinalNorm(
    _ call: Batch, _ workspace: GPTWorkspace, _ memory: GradientMemory, _ writing: GradientWriting
  ) {
    let (tokens, dim, threads) = (call.tokens, configuration.dim, workspace.threads)
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

    // What the forward did not keep is made again, where its gradient goes once its weight's is summed.
    Parallel.rows(
      tokens, threads,
      unsafe GELUForward(input: kept.inner, output: memory.inner, dim: innerDim))
    backward(block.innerOutput, residual, input: inner, inner, writing, threads)
    Parallel.rows(
      tokens, threads,
      unsafe GELUBackward(input: kept.inner, gradient: memory.inner, dim: innerDim))
    unsafe normalize(
      kept.middle, kept.secondNorm(block, tokens: tokens), into: memory.rows, tokens, threads)
    backward(block.inner, inner, input: rows, rows, writing, threads)
    unsafe LayerNormBackward(
      gradient: memory.rows, input: kept.middle, norm: kept.secondNorm(block, tokens: tokens),
      inputGradient: memory.residual, sums: memory.normSums, rows: tokens, dim: dim
    ).run(threads: threads, block.secondNorm, writing)

    unsafe backward(
      block.attentionOutput, residual, input: StridedMatrix(kept.attended, tokens, dim), rows,
      writing, threads)
    backwardAttention(call, kept, memory, workspace)
    unsafe try rotate(memory.queriesAndKeys, call, .backward, threads)
    unsafe normalize(
      kept.input, kept.firstNorm(block, tokens: tokens), into: memory.rows, tokens, threads)
    let turned = unsafe StridedMatrix(memory.queriesAndKeys, tokens, 2 * dim)
    let values = unsafe StridedMatrix(memory.values, tokens, dim)
    let (first, second) = (0..<2 * dim, 2 * dim..<3 * dim)
    backwardWeight(block.attention, columns: first, turned, input: rows, writing, threads)
    backwardWeight(block.attention, columns: second, values, input: rows, writing, threads)
    backwardInput(block.attention, columns: first, turned, .overwrite, rows, threads)
    backwardInput(block.attention, columns: second, values, .accumulate, rows, threads)
    unsafe LayerNormBackward(
      gradient: memory.rows, input: kept.input, norm: kept.firstNorm(block, tokens: tokens),
      inputGradient: memory.residual, sums: memory.normSums, rows: tokens, dim: dim
    ).run(threads: threads, block.firstNorm, writing)
  }

  /// A linear layer's gradients: of its weight and bias, then of its input, in whose place it may go.
  private func backward(
    _ layer: LinearParameters, _ gradient: StridedMatrix, input: StridedMatrix,
    _ inputGradient: StridedMatrix, _ writing: GradientWriting, _ threads: Int
  ) {
    let columns = 0..<gradient.columns
    backwardWeight(layer, columns: columns, gradient, input: input, writing, threads)
    backwardInput(layer, columns: columns, gradient, .overwrite, inputGradient, threads)
  }

  /// Those of weight and bias, for the columns of the output that the gradient is of.
  private func backwardWeight(
    _ layer: LinearParameters, columns: Range<Int>, _ gradient: StridedMatrix,
    input: StridedMatrix, _ writing: GradientWriting, _ threads: Int
  ) {
    MatrixProduct.multiply(
      input.transposed, gradient, writing, layer.weight.gradientMatrix.columns(columns),
      threads: threads)
    unsafe ColumnSums(
      rows: gradient.base, count: gradient.rows, dim: columns.count,
      sums: layer.bias.gradientMatrix.base + columns.lowerBound, writing: writing
    ).run(threads: threads)
  }

  /// That of the input.
  private func backwardInput(
    _ layer: LinearParameters, columns: Range<Int>, _ gradient: StridedMatrix,
    _ writing: GradientWriting, _ inputGradient: StridedMatrix, _ threads: Int
  ) {
    MatrixProduct.multiply(
      gradient, layer.weight.matrix.columns(columns).transposed, writing, inputGradient,
      threads: threads)
  }

  /// From the gradient of attention's output in `memory.rows` to those of queries, keys and values.
  private func backwardAttention(
    _ call: Batch, _ kept: BlockActivations, _ memory: GradientMemory, _ workspace: GPTWorkspace
  ) {
    let (dim, attention) = (configuration.dim, workspace.attention)
    let rows = rows(call, kept, bias: parts.bias.map { DistanceEntries($0) })
    let reach = configuration.reach(call.context)
    unsafe AttentionBackward(
      rows: rows, output: HeadRows(kept.attended, stride: dim),
      gradient: HeadRows(memory.rows, stride: dim),
      queryGradient: HeadRows(memory.queriesAndKeys, stride: 2 * dim),
      keyGradient: HeadRows(memory.queriesAndKeys + dim, stride: 2 * dim),
      valueGradient: HeadRows(memory.values, stride: dim),
      distances: attention.distances.map {
        unsafe DistanceEntries($0 + reach.past, headStride: reach.count)
      },
      scratch: attention.tiles, parts: attention.parts(of: rows.lanes)
    ).run(threads: workspace.threads)
  }

  /// The trained bias of attention logits, whose gradient all blocks have summed.
  private func backwardBias(
    _ call: Batch, _ workspace: GPTWorkspace, _ writing: GradientWriting
  ) {
    guard let bias = parts.bias, let weights = biasWeights,
      let sums = unsafe workspace.attention.distances
    else { return }
    let (heads, reach) = (configuration.heads, configuration.reach(call.context))
    if writing == .overwrite { weights.gradient.removeAll() }
    for head in 0..<heads {
      let first = unsafe sums + head * reach.count
      unsafe RowKernels.table.pointee.sum_columns(
        first + heads * reach.count, heads * reach.count, first, call.batch - 1, reach.count)
      unsafe bias.reduce(
        UnsafeBufferPointer(start: first, count: reach.count), head: head, reach: reach,
        into: weights.gradient.unsafeBuffer)
    }
  }

  /// The tables of the input.
  private func backwardInput(
    _ call: Batch, _ workspace: GPTWorkspace, _ memory: GradientMemory,
    tokens tokenWriting: GradientWriting, _ writing: GradientWriting
  ) throws(EmbedError) {
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
