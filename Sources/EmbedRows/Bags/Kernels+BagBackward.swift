// The backward of bags: output gradients in, the gradient of the table and that of the weights out.
//
// B bags, N ids, V rows, D dim.

public import EmbedKernel

internal import CKernels

extension Kernels {
  /// Computes the gradient of the table of `bag` from that of its output.
  ///
  ///     for ids j of bags b, but for padding and rows of zeros:
  ///       tokens[ids[j], :] += gradientScale * factor(j) * outputGradient[b, :]
  ///
  /// The factor is the id's weight, or of a mean 1 divided by the number of its rows; of a maximum it is 1
  /// in the columns that the id's row wins, and 0 elsewhere. A row's gradients, each times its factor, are
  /// summed in the order of the ids and as `summation` names, then multiplied by `gradientScale`, divided
  /// by the number of the row's ids in the whole call with `frequencyScaling: .inverse`, and written or
  /// added. Bit for bit the same for every backend and number of threads.
  ///
  /// Other than PyTorch 2.13 on CPU, whose `scale_grad_by_freq` divides by other ids' numbers than its
  /// documentation says, each row is divided by the number of its own ids.
  ///
  /// A row-sparse gradient lists the rows of all ids that have a gradient, of a maximum those that win a
  /// column.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[bags, dim]`.
  ///   - ids: As given to `bag`, and so the other arguments up to `options`.
  ///   - winners: Of a maximum, as its forward gave them; nil for other pools.
  ///   - rows: The number of rows of the table.
  ///   - dim: The number of columns.
  ///   - frequencyScaling: Not of a maximum.
  ///   - tokens: Where the table's gradient goes.
  ///   - workspace: Memory that calls reuse.
  /// - Throws: `EmbedError`, before anything is written.
  /// - Complexity: O(N·D), and O(V·D) only where a dense target is overwritten. Allocates only for a call
  ///   larger than any before.
  @inlinable
  public func bagBackward<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Weights: ReadableElements<Float> & ~Copyable & ~Escapable,
    Winners: ReadableElements<Int32> & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs, in bags: borrowing Bags,
    weights: borrowing Weights = Optional<[Float]>.none,
    winners: borrowing Winners = Optional<[Int32]>.none, rows: Int, dim: Int, pool: BagPool,
    options: BagOptions = BagOptions(), gradientScale: Float = 1,
    frequencyScaling: FrequencyScaling = .none, summation: Summation = .chunked,
    tokens: borrowing GradientTarget, workspace: inout BagWorkspace
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe weights.withElements { (given) throws(EmbedError) in
          try unsafe winners.withElements { (won) throws(EmbedError) in
            let input = unsafe BagInput(
              TokenIDs(ids), weights.isAbsent ? nil : given, pool, options)
            let gradient = unsafe BagGradient(
              outputGradient, winners.isAbsent ? nil : won, gradientScale, frequencyScaling,
              summation)
            try bagBackward(gradient, input, bags, rows, dim, tokens, &workspace)
          }
        }
      }
    }
  }

  @usableFromInline
  package func bagBackward(
    _ gradient: BagGradient, _ input: BagInput, _ bags: borrowing Bags, _ rows: Int, _ dim: Int,
    _ tokens: borrowing GradientTarget, _ workspace: inout BagWorkspace
  ) throws(EmbedError) {
    let checked = try gradient.check(input, bags, rows: rows, dim: dim, self)
    try checked.checkApart(tokens.memory)
    try gradient.checkApart(tokens.memory)
    let plan = try gradient.plan(checked, self)
    let members = try gradient.prepare(checked, &workspace, threads: plan.threads)
    try unsafe backward(
      UnsafeBufferPointer(start: members.rows, count: checked.outputCount), members.groups,
      factors: members.factors, ids: input.ids,
      EmbeddingShape(vocabulary: rows, batch: checked.bags.count, context: 1, dim: dim),
      BackwardOptions(
        gradientScale: gradient.scale, frequencyScaling: gradient.frequencyScaling,
        summation: gradient.summation), plan, tokens, &workspace.rows)
  }

  /// Computes the gradient of a sum's weights.
  ///
  ///     for ids j of bags b: weightGradient[j] = sum of outputGradient[b, :] * tokens[ids[j], :]
  ///
  /// Padding, and rows of zeros, give 0. Products and sums are each rounded, in fp32: element i is added
  /// in lane i mod 32, and the lanes then as a tree of halves. Bit for bit the same for every backend and
  /// number of threads.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[bags, dim]`.
  ///   - ids: As given to `bag`, and so bags and options.
  ///   - tokens: The table, as it was in `bag`.
  ///   - weightGradient: A number an id, overwritten.
  /// - Throws: `EmbedError`, before anything is written. Allocates nothing.
  /// - Complexity: O(N·D). Memory traffic: a row read for each id.
  @inlinable
  public func bagWeightGradient<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable, Element: TableElement,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs, in bags: borrowing Bags,
    tokens: EmbeddingTable<Element>, options: BagOptions = BagOptions(),
    into weightGradient: inout Output
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe weightGradient.withMutableElements { (output) throws(EmbedError) in
          let input = unsafe BagInput(TokenIDs(ids), nil, .sum, options)
          try unsafe bagWeightGradient(outputGradient, input, bags, tokens, output)
        }
      }
    }
  }

  /// The same from rows of any format.
  @inlinable
  public func bagWeightGradient<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs, in bags: borrowing Bags,
    tokens: RowTable, options: BagOptions = BagOptions(), into weightGradient: inout Output
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe weightGradient.withMutableElements { (output) throws(EmbedError) in
          let input = unsafe BagInput(TokenIDs(ids), nil, .sum, options)
          try unsafe bagWeightGradient(outputGradient, input, bags, tokens, output)
        }
      }
    }
  }

  @usableFromInline
  package func bagWeightGradient<Element: TableElement>(
    _ outputGradient: UnsafeBufferPointer<Float>, _ input: BagInput, _ bags: borrowing Bags,
    _ tokens: EmbeddingTable<Element>, _ output: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    tokens.bringUp(.ids(input.ids, outside: input.options.unknownIDs), self)
    try unsafe bagWeightGradient(outputGradient, input, bags, TableRows(tokens), output)
  }

  @usableFromInline
  package func bagWeightGradient(
    _ outputGradient: UnsafeBufferPointer<Float>, _ input: BagInput, _ bags: borrowing Bags,
    _ tokens: RowTable, _ output: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    try tokens.reading { () throws(EmbedError) in
      try unsafe bagWeightGradient(outputGradient, input, bags, TableRows(tokens), output)
    }
  }

  package func bagWeightGradient(
    _ outputGradient: UnsafeBufferPointer<Float>, _ input: BagInput, _ bags: borrowing Bags,
    _ table: TableRows, _ output: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    let checked = try CheckedBags(input, bags, rows: table.count, dim: table.dim, self)
    try checked.check("output gradient", count: outputGradient.count)
    guard output.count == input.ids.count else {
      throw .wrongElementCount(
        argument: "weight gradient", expected: input.ids.count, shape: [input.ids.count],
        actual: output.count)
    }
    let written = unsafe Memory(output.baseAddress, output.count * 4)
    try checked.checkApart(written)
    if table.overlaps(written) { throw .overlappingMemory(argument: "tokens") }
    if written.overlaps(unsafe Memory(outputGradient.baseAddress, outputGradient.count * 4)) {
      throw .overlappingMemory(argument: "output gradient")
    }
    let plan = try Plan(bags: checked, table, self)
    guard let base = output.baseAddress, input.ids.count > 0 else { return }
    var tile = checked.tile(table)
    unsafe tile.gradient = outputGradient.baseAddress
    unsafe tile.weight_gradient = base
    tile.prefetch_rows = plan.idsAhead(table, ids: input.ids.count)
    BagWeightWork(tile: tile, plan: plan, ids: input.ids, pages: table.pages).run()
  }
}
