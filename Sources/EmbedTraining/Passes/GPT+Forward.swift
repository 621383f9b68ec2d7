// The forward pass: ids to normalised hidden states, block by block.

internal import EmbedKernel

extension GPT {
  /// Runs a call up to `ln_f`; the hidden states are in `workspace.final.normed`.
  ///
  /// Allocates nothing.
  ///
  /// - Parameter cache: The tokens before the call's one sequence, to which it is added.
  /// - Throws: `tokenOutOfRange`, `contextTooLong`; before anything is computed.
  func forward(
    _ call: Batch, _ workspace: GPTWorkspace, after cache: KeyValueRows? = nil
  ) throws(EmbedError) {
    let (tokens, dim, threads) = (call.tokens, configuration.dim, workspace.threads)
    var embedded = unsafe UnsafeMutableBufferPointer(
      start: workspace.blocks[0].input, count: tokens * dim)
    try unsafe input.forward(
      call.ids, batch: call.batch, context: call.context,
      at: .sequential(offset: cache?.count ?? 0), into: &embedded, using: .auto.threads(threads))
    let bias = try distances(call, cache)
    for layer in 0..<configuration.layers {
      try forward(
        call, blocks[layer], workspace.blocks[layer], cache?.layer(layer), bias, workspace)
    }
    let final = workspace.final
    unsafe normalize(
      final.input, final.norm(finalNorm, tokens: tokens), into: final.normed, tokens, threads)
  }

  private func forward(
    _ call: Batch, _ block: Block, _ kept: BlockActivations, _ cached: KeyValueRows.Layer?,
    _ bias: DistanceEntries?, _ workspace: GPTWorkspace
  ) throws(EmbedError) {
    let (tokens, dim, threads) = (call.tokens, configuration.dim, workspace.threads)
    let shared = workspace.shared
    unsafe normalize(
      kept.input, kept.firstNorm(block, tokens: tokens), into: shared.normed, tokens, threads)
    let normed = unsafe StridedMatrix(shared.normed, tokens, dim)
    unsafe linear(
      normed, block.attention, columns: 0..<2 * dim,
      into: StridedMatrix(kept.queriesAndKeys, tokens, 2 * dim), threads)
    unsafe linear(
      normed, block.attention, columns: 2 * dim..<3 * dim,
      into: StridedMatrix(cached?.newValues ?? kept.values, tokens, dim), threads)
    unsafe try rotate(kept.queriesAndKeys, call, .forward, offset: cached?.count ?? 0, threads)
    unsafe cached?.takeKeys(kept.queriesAndKeys + dim, stride: 2 * dim, tokens)
    let rows = rows(call, kept, after: cached, bias: bias)
    unsafe AttentionForward(
      rows: rows, output: HeadRows(kept.attended, stride: dim), scratch: workspace.attention.tiles,
      parts: workspace.attention.parts(of: rows.lanes * rows.queryTiles)
    ).run(threads: threads)
    unsafe linear(
      StridedMatrix(kept.attended, tokens, dim), block.attentionOutput, addedTo: kept.input,
      into: StridedMatrix(kept.middle, tokens, dim), threads)

    unsafe normalize(
      kept.middle, kept.secondNorm(block, tokens: tokens), into: shared.normed, tokens, threads)
    let inner = unsafe StridedMatrix(kept.inner, tokens, configuration.innerDim)
    unsafe linear(
      StridedMatrix(shared.normed, tokens, dim), block.inner, into: inner, threads)
    Parallel.rows(
      tokens, threads,
      unsafe GELUForward(input: kept.inner, output: shared.activated, dim: configuration.innerDim))
    unsafe linear(
      StridedMatrix(shared.activated, tokens, configuration.innerDim), block.innerOutput,
      addedTo: kept.middle, into: StridedMatrix(kept.output, tokens, dim), threads)
  }

  func normalize(
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
    let weight = layer.weight.matrix.columns(columns)
    if output.rows == 1 {
      return unsafe RowProduct(input: input.base, weight: weight, output: output.base).run(
        threads: threads)
    }
    MatrixProduct.multiply(input, weight, .accumulate, output, threads: threads)
  }

  /// The sizes and data of a block's attention.
  func rows(
    _ call: Batch, _ kept: BlockActivations, after cached: KeyValueRows.Layer? = nil,
    bias: DistanceEntries?
  ) -> AttentionRows {
    let dim = configuration.dim
    return unsafe AttentionRows(
      batch: call.batch, heads: configuration.heads, headDim: configuration.headDim,
      queryCount: call.context, keyCount: call.context + (cached?.count ?? 0),
      isCausal: configuration.direction == .causal,
      queries: HeadRows(kept.queriesAndKeys, stride: 2 * dim),
      keys: cached.map { unsafe HeadRows($0.keys, stride: dim) }
        ?? HeadRows(kept.queriesAndKeys + dim, stride: 2 * dim),
      values: HeadRows(cached?.values ?? kept.values, stride: dim),
      statistics: kept.attentionStatistics, bias: bias)
  }

  /// Turns queries and keys, which lie as one tensor of twice the heads.
  func rotate(
    _ queriesAndKeys: UnsafeMutablePointer<Float>, _ call: Batch,
    _ direction: RotaryDirection, offset: Int = 0, _ threads: Int
  ) throws(EmbedError) {
    guard let rotary = parts.rotary else { return }
    let shape = RotaryShape(
      batch: call.batch, heads: 2 * configuration.heads, context: call.context,
      headDim: configuration.headDim, order: .contextFirst)
    let elements = unsafe UnsafeMutableBufferPointer(
      start: queriesAndKeys, count: call.tokens * 2 * configuration.dim)
    unsafe try rotary.rotate(
      UnsafeBufferPointer(elements), shape: shape, at: .sequential(offset: offset), direction,
      into: elements, using: .auto.threads(threads))
  }

  /// The bias of attention logits by distance, as far as a call and what is cached before it reach.
  private func distances(_ call: Batch, _ cache: KeyValueRows?) throws(EmbedError)
    -> DistanceEntries?
  {
    guard let bias = parts.bias else { return nil }
    // Training may have moved it; what is cached is of the same weights.
    if biasWeights != nil, cache?.count ?? 0 == 0 { bias.refresh() }
    try bias.prepare(configuration.reach(cache?.capacity ?? call.context))
    return DistanceEntries(bias)
  }
}

extension DistanceEntries {
  /// Those of a table that reaches far enough.
  init(_ table: DistanceTable) {
    let entries = unsafe table.entries
    unsafe self.init(entries.first, headStride: entries.headStride)
  }
}

extension GPTConfiguration {
  /// How far keys stand from queries in sequences of `context` tokens.
  func reach(_ context: Int) -> BiasReach {
    BiasReach(past: context - 1, future: direction == .causal ? 0 : context - 1)
  }
}
