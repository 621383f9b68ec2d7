// A content-dependent bias: each token mixes a bank of profiles over distance with weights of its
// own, (W h_i) · bank[n] for keys at distance n before it, nothing beyond the bank. The form of
// Thinking Machines' Inkling.
//
// R profiles (rank), E extent, n = query position - key position.

public import EmbedKernel

/// The bias c_i · bank[n] for 0 <= n < extent, and 0 elsewhere, with c = W h the mixing weights.
///
/// The weights come from a projection of the hidden states, which is the model's; they are the
/// "query vectors" of the call, `[batch, heads, queries, rank]`.
@safe public final class ContentRelativeBias: TrainedBias {
  /// The profiles, shape `[extent, rank]`, shared by all heads; checkpoints hold `[rank, extent]`.
  public let bank: EmbeddingTable<Float>

  private let index: RelativeIndex

  /// A bias over `bank`, which is shared, not copied.
  public init(bank: EmbeddingTable<Float>) {
    self.bank = bank
    index = RelativeIndex(deltas: 1 - bank.rows...0) { -$0 }
  }

  /// `content-relative`.
  public var name: String { "content-relative" }
  /// Any.
  public var heads: Int? { nil }
  /// The rank.
  public var headDim: Int? { bank.dim }
  /// The whole bank.
  public var parameterCount: Int { bank.rows * bank.dim }

  /// Zero: the bias depends on the query's vector.
  public func value(head: Int, query: Int, key: Int) -> Double { 0 }

  /// Grows the index, and brings rows that an optimiser left behind up to date.
  public func prepare(_ reach: BiasReach) throws(EmbedError) {
    unsafe _ = bank.unsafeBuffer
    try index.cover(reach)
  }

  private var products: RelativeProducts {
    unsafe RelativeProducts(
      table: UnsafePointer(bank.storage.base), stride: bank.dim, dim: bank.dim,
      index: index.origin, deltas: index.deltas, scale: 1)
  }

  /// Adds the products that distances pick.
  public func add(_ block: BiasBlock) {
    guard let queries = unsafe block.queryVectors else { return }
    unsafe products.add(block, queries: queries)
  }

  /// Sums the gradients of the bank and the weights.
  public func addGradient(_ block: BiasGradientBlock) {
    unsafe products.addGradient(
      block.block, queries: block.block.queryVectors, queryGradient: block.queryGradient,
      tableGradient: block.sums)
  }
}
