// A table with what becomes of the rows of its bags, as a layer: PyTorch's `EmbeddingBag`.
//
//     let layer = try EmbeddingBag(vocabulary: 50_000, dim: 128, pool: .mean, paddingID: 0)
//     try layer.forward(ids, in: .offsets(offsets), into: &output)
//
// B bags, N ids, D dim.

public import EmbedKernel

/// The table of a layer, which reads rows of any form and trains those of floats and bfloat16.
public enum BagTable: Sendable {
  /// Floats.
  case float32(EmbeddingTable<Float>)
  /// IEEE binary16.
  case float16(EmbeddingTable<Half>)
  /// bfloat16.
  case bfloat16(EmbeddingTable<BFloat16>)
  /// Rows of any format, which are read only.
  case rows(RowTable)

  /// The number of rows.
  public var rows: Int {
    switch self {
    case .float32(let table): table.rows
    case .float16(let table): table.rows
    case .bfloat16(let table): table.rows
    case .rows(let table): table.rows
    }
  }

  /// The number of columns of a row.
  public var dim: Int {
    switch self {
    case .float32(let table): table.dim
    case .float16(let table): table.dim
    case .bfloat16(let table): table.dim
    case .rows(let table): table.dim
    }
  }
}

/// Pools the rows of bags of ids.
///
/// What PyTorch's layer has besides: its `include_last_offset` is told with the offsets,
/// ``Bags/offsets(_:last:)``; `max_norm` is `TokenEmbedding.renormalize` of the same table, before the
/// forward; `sparse` is the kind of gradient that `backward` fills.
public final class EmbeddingBag: Sendable {
  /// The rows.
  public let table: BagTable

  /// What becomes of a bag's rows.
  public let pool: BagPool

  /// Padding, and what to do with ids outside the table.
  public let options: BagOptions

  /// The number of rows.
  public var vocabulary: Int { table.rows }

  /// The number of columns of a row.
  public var dim: Int { table.dim }

  /// Allocates and draws a new table of floats.
  ///
  /// - Parameters:
  ///   - paddingID: An id that is left out of its bag; its row is set to zero.
  ///   - seed: The same seed gives the same bits for every thread count.
  /// - Throws: `invalidSize`, `invalidValue`, `sizeOverflow`, `outOfMemory`.
  public convenience init(
    vocabulary: Int, dim: Int, pool: BagPool = .mean, paddingID: Int? = nil,
    unknownIDs: UnknownIDs = .error, initialization: Initialization = .normal(sigma: 1),
    seed: UInt64 = 0
  ) throws(EmbedError) {
    let tokens = try TokenEmbedding(
      vocabulary: vocabulary, dim: dim, paddingID: paddingID, initialization: initialization,
      seed: seed)
    try self.init(
      .float32(tokens.table), pool: pool, paddingID: paddingID, unknownIDs: unknownIDs)
  }

  /// Wraps a table that is already filled, and shares it.
  ///
  /// - Throws: `invalidSize` for a padding id outside the table.
  public init(
    _ table: BagTable, pool: BagPool = .mean, paddingID: Int? = nil,
    unknownIDs: UnknownIDs = .error
  ) throws(EmbedError) {
    if let paddingID, paddingID < 0 || paddingID >= table.rows {
      throw .invalidSize(
        argument: "padding id", value: paddingID, expected: "an id of 0...\(table.rows - 1)")
    }
    self.table = table
    self.pool = pool
    options = BagOptions(paddingID: paddingID, unknownIDs: unknownIDs)
  }

  /// Pools the rows of each bag, as `Kernels.bag` does.
  ///
  /// - Parameters:
  ///   - ids: All bags' ids one after another.
  ///   - bags: How they fall into bags.
  ///   - weights: A weight for each id, for sums.
  ///   - output: Shape `[bags, dim]`.
  /// - Throws: `EmbedError`, before anything is written. Allocates nothing.
  @inlinable
  public func forward<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Weights: ReadableElements<Float> & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    _ ids: borrowing IDs, in bags: borrowing Bags,
    weights: borrowing Weights = Optional<[Float]>.none, into output: inout Output,
    using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID, Output.Element: TableElement {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe weights.withElements { (given) throws(EmbedError) in
          let input = unsafe BagInput(
            TokenIDs(ids), weights.isAbsent ? nil : given, pool, options)
          try unsafe forward(input, bags, Elements(UnsafeBufferPointer(output)), nil, kernels)
        }
      }
    }
  }

  /// The same of a maximum, and whose each column is, which its backward takes.
  ///
  /// - Parameter winners: Shape `[bags, dim]`: indices in `ids`, or -1 for an empty bag.
  /// - Throws: As above; `unsupported` for a layer of another pool.
  @inlinable
  public func forward<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable,
    Winners: WritableElements<Int32> & ~Copyable & ~Escapable
  >(
    _ ids: borrowing IDs, in bags: borrowing Bags, into output: inout Output,
    winners: inout Winners, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID, Output.Element: TableElement {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe winners.withMutableElements { (winners) throws(EmbedError) in
        try unsafe ids.withElements { (ids) throws(EmbedError) in
          try unsafe forward(
            BagInput(TokenIDs(ids), nil, pool, options), bags,
            Elements(UnsafeBufferPointer(output)), winners, kernels)
        }
      }
    }
  }

  @usableFromInline
  func forward(
    _ input: BagInput, _ bags: borrowing Bags, _ output: Elements,
    _ winners: UnsafeMutableBufferPointer<Int32>?, _ kernels: Kernels
  ) throws(EmbedError) {
    switch table {
    case .float32(let table): try unsafe kernels.bag(input, bags, table, output, winners)
    case .float16(let table): try unsafe kernels.bag(input, bags, table, output, winners)
    case .bfloat16(let table): try unsafe kernels.bag(input, bags, table, output, winners)
    case .rows(let table): try unsafe kernels.bag(input, bags, table, output, winners)
    }
  }
}
