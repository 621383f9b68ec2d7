// The sizes and the mask of a call that adds a bias to attention logits.
//
// B batch, H heads, Q queries, K keys, d head dim.

/// The sizes of a tile of attention logits `[batch, heads, queries, keys]`.
///
/// A tile may be any range of queries against any range of keys: where they stand is said by their
/// positions, so a decoder's one query against a cache is `queries: 1` with an offset.
public struct AttentionShape: Hashable, Sendable {
  /// The number of sequences; 0 is an empty batch.
  public var batch: Int
  /// The number of heads.
  public var heads: Int
  /// The number of queries of a sequence in the tile.
  public var queries: Int
  /// The number of keys of a sequence in the tile.
  public var keys: Int

  /// Takes the sizes as they are; a call checks them.
  public init(batch: Int = 1, heads: Int, queries: Int, keys: Int) {
    self.batch = batch
    self.heads = heads
    self.queries = queries
    self.keys = keys
  }

  /// The dimensions in memory order.
  public var dimensions: [Int] { [batch, heads, queries, keys] }
}

/// Which logits become minus infinity.
public struct AttentionMask: OptionSet, Hashable, Sendable {
  /// The bits of the set.
  public let rawValue: UInt8

  /// A set of these bits.
  public init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Keys whose position is past the query's, and keys of later documents.
  public static let causal = AttentionMask(rawValue: 1)

  /// Keys of another document than the query's, where positions are packed.
  public static let documents = AttentionMask(rawValue: 2)

  /// Padding keys, where positions come from a mask.
  public static let padding = AttentionMask(rawValue: 4)
}
