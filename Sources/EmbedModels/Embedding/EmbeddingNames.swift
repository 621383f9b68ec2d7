// What the families of models call the tensors of their input embedding.

/// The names that a checkpoint gives the tensors of an input embedding.
///
/// Each tensor may go by several names; the first one found is read, and the first is written. A
/// tensor that the layer has and the scheme has no name for is an error when saving. The schemes
/// below also stand for all models that name their tensors so below any prefix, when reading.
public struct EmbeddingNames: Hashable, Sendable {
  /// Token table `[vocabulary, dim]`.
  public var tokens: [String]
  /// Position table `[maximum, dim]`; empty where there is none.
  public var positions: [String]
  /// Segment table `[segments, dim]`, BERT's token types; empty where there is none.
  public var segments: [String]
  /// LayerNorm's scale `[dim]`; empty where there is none.
  public var normScale: [String]
  /// LayerNorm's bias `[dim]`; empty where there is none.
  public var normBias: [String]

  /// Names of your own.
  public init(
    tokens: [String], positions: [String] = [], segments: [String] = [], normScale: [String] = [],
    normBias: [String] = []
  ) {
    self.tokens = tokens
    self.positions = positions
    self.segments = segments
    self.normScale = normScale
    self.normBias = normBias
  }

  /// GPT-2's: `wte.weight` and `wpe.weight`, also below `transformer.`.
  public static let gpt2 = EmbeddingNames(
    tokens: prefixed("transformer.", "wte.weight"),
    positions: prefixed("transformer.", "wpe.weight"))

  /// BERT's: `embeddings.word_embeddings.weight` and so on, also below `bert.`, and with the older
  /// `gamma` and `beta` of LayerNorm.
  public static let bert = EmbeddingNames(
    tokens: prefixed("bert.", "embeddings.word_embeddings.weight"),
    positions: prefixed("bert.", "embeddings.position_embeddings.weight"),
    segments: prefixed("bert.", "embeddings.token_type_embeddings.weight"),
    normScale: prefixed("bert.", "embeddings.LayerNorm.weight", "embeddings.LayerNorm.gamma"),
    normBias: prefixed("bert.", "embeddings.LayerNorm.bias", "embeddings.LayerNorm.beta"))

  /// Llama's: `model.embed_tokens.weight`, also without `model.`; positions are rotary and none are
  /// written.
  public static let llama = EmbeddingNames(
    tokens: ["model.embed_tokens.weight", "embed_tokens.weight"])

  /// What llama.cpp calls the same in GGUF files: `token_embd.weight` and so on.
  public static let gguf = EmbeddingNames(
    tokens: ["token_embd.weight"], positions: ["position_embd.weight"],
    segments: ["token_types.weight"], normScale: ["token_embd_norm.weight"],
    normBias: ["token_embd_norm.bias"])

  /// The schemes that can be written.
  public static let known = [gpt2, bert, llama, gguf]

  private static func prefixed(_ prefix: String, _ names: String...) -> [String] {
    names + names.map { prefix + $0 }
  }
}

/// Keys of a checkpoint's texts (`__metadata__`) that this library gives a meaning.
public enum CheckpointMetadata {
  /// How rotary positions pair the elements of a head: one of `RotaryLayout`'s raw values. Llama's
  /// original weights and their converted form differ in this, and no tensor's name tells.
  public static let rotaryLayout = "embedkernel.rotary_layout"
}
