// The entrance of bags: the rows of each bag's ids pooled, from tables of any format.
//
// B bags, N ids, V rows, D dim.

public import EmbedKernel

internal import CKernels

extension Kernels {
  /// Pools the rows of each bag.
  ///
  ///     for b in 0..<B: output[b, :] = pool(weights[j] * tokens[ids[j], :]) over the ids j of bag b
  ///
  /// The semantics are those of PyTorch's `EmbeddingBag`: an empty bag gives zeros. A sum starts from
  /// zero and takes the rows in the order of the ids, in fp32, each product and sum rounded, whatever the
  /// bag's length: within (n - 1) u S of the exact sum of n rows, u = 2^-24, S the sum of absolute values
  /// (n u S with weights). A mean is the sum divided by the number of rows. Elements that are not floats
  /// are widened first, and the result is rounded once to the output's type. Bit for bit the same for
  /// every backend and number of threads.
  ///
  /// Other than PyTorch: offsets that fall, and ids that are in no bag, throw.
  ///
  /// - Parameters:
  ///   - ids: All bags' ids one after another; `Int32`, `Int64` or `Int`.
  ///   - bags: How they fall into bags.
  ///   - weights: A weight for each id, for sums; nil weights all by 1.
  ///   - tokens: The table, of which rows that an optimiser left behind are brought up to date.
  ///   - pool: What becomes of a bag's rows.
  ///   - options: Padding, and what to do outside the table.
  ///   - output: Shape `[bags, dim]`; shares no memory with the inputs.
  /// - Throws: `EmbedError`, before anything is written; for an id outside the table the batch row is its
  ///   bag, and the position its place there.
  /// - Complexity: O(N·D). Memory traffic: a row read for each id, a row written for each bag. Allocates
  ///   nothing.
  @inlinable
  public func bag<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Weights: ReadableElements<Float> & ~Copyable & ~Escapable, Element: TableElement,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    ids: borrowing IDs, in bags: borrowing Bags,
    weights: borrowing Weights = Optional<[Float]>.none, tokens: EmbeddingTable<Element>,
    pool: BagPool, options: BagOptions = BagOptions(), into output: inout Output
  ) throws(EmbedError) where IDs.Element: TokenID, Output.Element: TableElement {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe weights.withElements { (given) throws(EmbedError) in
          let input = unsafe BagInput(
            TokenIDs(ids), weights.isAbsent ? nil : given, pool, options)
          try unsafe bag(input, bags, tokens, Elements(UnsafeBufferPointer(output)), nil)
        }
      }
    }
  }

  /// The same from rows of any format, which are decoded on their way: no row is written out as floats.
  @inlinable
  public func bag<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Weights: ReadableElements<Float> & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    ids: borrowing IDs, in bags: borrowing Bags,
    weights: borrowing Weights = Optional<[Float]>.none, tokens: RowTable,
    pool: BagPool, options: BagOptions = BagOptions(), into output: inout Output
  ) throws(EmbedError) where IDs.Element: TokenID, Output.Element: TableElement {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe weights.withElements { (given) throws(EmbedError) in
          let input = unsafe BagInput(
            TokenIDs(ids), weights.isAbsent ? nil : given, pool, options)
          try unsafe bag(input, bags, tokens, Elements(UnsafeBufferPointer(output)), nil)
        }
      }
    }
  }

  /// The largest number of each column of a bag's rows, and whose it is, as the backward of a maximum
  /// takes it.
  ///
  /// - Parameter winners: Shape `[bags, dim]`: the index in `ids` of the id whose row has the number, the
  ///   first of several; -1 for an empty bag.
  @inlinable
  public func bag<
    IDs: ReadableElements & ~Copyable & ~Escapable, Element: TableElement,
    Output: WritableElements & ~Copyable & ~Escapable,
    Winners: WritableElements<Int32> & ~Copyable & ~Escapable
  >(
    maximumOf ids: borrowing IDs, in bags: borrowing Bags, tokens: EmbeddingTable<Element>,
    options: BagOptions = BagOptions(), into output: inout Output, winners: inout Winners
  ) throws(EmbedError) where IDs.Element: TokenID, Output.Element: TableElement {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe winners.withMutableElements { (winners) throws(EmbedError) in
        try unsafe ids.withElements { (ids) throws(EmbedError) in
          try unsafe bag(
            BagInput(TokenIDs(ids), nil, .max, options), bags, tokens,
            Elements(UnsafeBufferPointer(output)), winners)
        }
      }
    }
  }

  @usableFromInline
  package func bag<Element: TableElement>(
    _ input: BagInput, _ bags: borrowing Bags, _ tokens: EmbeddingTable<Element>,
    _ output: Elements, _ winners: UnsafeMutableBufferPointer<Int32>?
  ) throws(EmbedError) {
    tokens.bringUp(.ids(input.ids, outside: input.options.unknownIDs), self)
    try unsafe bag(input, bags, TableRows(tokens), output, winners)
  }

  @usableFromInline
  package func bag(
    _ input: BagInput, _ bags: borrowing Bags, _ tokens: RowTable, _ output: Elements,
    _ winners: UnsafeMutableBufferPointer<Int32>?
  ) throws(EmbedError) {
    try tokens.reading { () throws(EmbedError) in
      try unsafe bag(input, bags, TableRows(tokens), output, winners)
    }
  }

  /// The same for rows that are up to date.
  package func bag(
    _ input: BagInput, _ bags: borrowing Bags, _ table: TableRows, _ output: Elements,
    _ winners: UnsafeMutableBufferPointer<Int32>?
  ) throws(EmbedError) {
    let checked = try CheckedBags(input, bags, rows: table.count, dim: table.dim, self)
    try checked.check("output", count: output.count)
    try checked.checkApart(output.memory)
    var tile = checked.tile(table)
    if let winners = unsafe winners {
      try checked.check("winners", count: winners.count)
      let memory = unsafe Memory(winners.baseAddress, winners.count * 4)
      try checked.checkApart(memory)
      if memory.overlaps(output.memory) { throw .overlappingMemory(argument: "winners") }
      if table.overlaps(memory) { throw .overlappingMemory(argument: "tokens") }
      unsafe tile.winners = winners.baseAddress
    }
    if table.overlaps(output.memory) { throw .overlappingMemory(argument: "tokens") }
    let plan = try Plan(bags: checked, table, self)
    guard let base = unsafe output.base, output.count > 0 else { return }
    unsafe tile.output = UnsafeMutableRawPointer(mutating: base)
    tile.output_type = output.type.kernelElement
    tile.prefetch_rows = plan.idsAhead(table, ids: input.ids.count)
    tile.streaming = output.type == .float32 && output.count * 4 >= limits.streamingBytes
    var work = BagWork(tile: tile, plan: plan, ids: input.ids, pages: table.pages)
    work.run(longest: checked.longest, leastBytes: 4 * limits.parallelBytes)
  }
}
