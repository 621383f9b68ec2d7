// No positions at all (NoPE): a causal decoder can tell order from what each token sees. Kazemnejad
// et al., "The Impact of Positional Encoding on Length Generalization in Transformers", 2023.

/// Adds nothing: a call with it lays the mask alone.
public struct NoBias: AttentionBias {
  /// Nothing to set.
  public init() {}

  /// `none`.
  public var name: String { "none" }
  /// Any.
  public var heads: Int? { nil }
  /// Zero.
  public func value(head: Int, query: Int, key: Int) -> Double { 0 }
  /// Leaves the logits as they are.
  public func add(_ block: BiasBlock) {}
}
