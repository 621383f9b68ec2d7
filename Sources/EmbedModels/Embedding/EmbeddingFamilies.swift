// What public models call the tensors of their input embedding, as a table: a row a family, the same
// below any prefix (`roberta.`, `transformer.`, `language_model.model.`).
//
// Names of positions, segments and LayerNorm stand beside the token table; `../` is the level above.

/// A family of models that give the parts of the input embedding the same names.
struct EmbeddingFamily {
  /// The end of the token table's name.
  let tokens: String
  let positions: [String]
  let segments: [String]
  let normScale: [String]
  let normBias: [String]

  private init(
    _ tokens: String, positions: [String] = [], segments: [String] = [], normScale: [String] = [],
    normBias: [String] = []
  ) {
    self.tokens = tokens
    self.positions = positions
    self.segments = segments
    self.normScale = normScale
    self.normBias = normBias
  }

  /// GPT-2, GPT-J, GPT-Neo, GPTBigCode, CodeGen, MPT, Qwen, OLMo.
  static let gpt2 = EmbeddingFamily("wte.weight", positions: ["wpe.weight"])

  /// BERT, RoBERTa, DistilBERT, ELECTRA, DeBERTa, ALBERT, MPNet, ESM; BLOOM, whose LayerNorm is
  /// named otherwise; Falcon, ChatGLM; Nomic's, with LayerNorm a level above.
  static let bert = EmbeddingFamily(
    "word_embeddings.weight", positions: ["position_embeddings.weight"],
    segments: ["token_type_embeddings.weight"],
    normScale: [
      "LayerNorm.weight", "LayerNorm.gamma", "word_embeddings_layernorm.weight",
      "../emb_ln.weight",
    ],
    normBias: [
      "LayerNorm.bias", "LayerNorm.beta", "word_embeddings_layernorm.bias", "../emb_ln.bias",
    ])

  /// Llama, Mistral, Qwen 2 and 3, Gemma, Phi, DeepSeek; OPT, BART's halves and Whisper, which have
  /// positions, in OPT and BART from the third row on.
  static let llama = EmbeddingFamily(
    "embed_tokens.weight", positions: ["embed_positions.weight"],
    normScale: ["layernorm_embedding.weight"], normBias: ["layernorm_embedding.bias"])

  /// T5 and BART, whose encoder and decoder have one token table; BART's have positions each.
  static let shared = EmbeddingFamily(
    "shared.weight",
    positions: ["encoder.embed_positions.weight", "decoder.embed_positions.weight"],
    normScale: ["encoder.layernorm_embedding.weight", "decoder.layernorm_embedding.weight"],
    normBias: ["encoder.layernorm_embedding.bias", "decoder.layernorm_embedding.bias"])

  /// What llama.cpp calls them, whatever the model's own names were.
  static let gguf = EmbeddingFamily(
    "token_embd.weight", positions: ["position_embd.weight"], segments: ["token_types.weight"],
    normScale: ["token_embd_norm.weight"], normBias: ["token_embd_norm.bias"])

  static let all = [
    gpt2, bert, llama, shared,
    // CLIP's and SigLIP's texts, and Whisper, in either library's names.
    EmbeddingFamily(
      "token_embedding.weight", positions: ["position_embedding.weight", "positional_embedding"]),
    // GPT-NeoX, Pythia.
    EmbeddingFamily("embed_in.weight"),
    // Llama in its first form, InternLM 2.
    EmbeddingFamily("tok_embeddings.weight"),
    // ModernBERT.
    EmbeddingFamily(
      "embeddings.tok_embeddings.weight", normScale: ["norm.weight"], normBias: ["norm.bias"]),
    // GPT.
    EmbeddingFamily("tokens_embed.weight", positions: ["positions_embed.weight"]),
    // XLNet.
    EmbeddingFamily("word_embedding.weight"),
    // Mamba, RWKV.
    EmbeddingFamily("backbone.embeddings.weight"), EmbeddingFamily("backbone.embedding.weight"),
    EmbeddingFamily("rwkv.embeddings.weight"),
    // Any of them in a GGUF file.
    gguf,
  ]

  /// The families whose names these are; all of them for nil, none for names of a user's own.
  static func of(_ names: EmbeddingNames?) -> [EmbeddingFamily] {
    guard let names else { return all }
    let known: [(EmbeddingNames, EmbeddingFamily)] = [
      (.gpt2, gpt2), (.bert, bert), (.llama, llama), (.gguf, gguf),
    ]
    return known.filter { $0.0 == names }.map(\.1)
  }

  /// Whether `name` is this family's token table, below any prefix.
  func isTokens(_ name: String) -> Bool { name == tokens || name.hasSuffix("." + tokens) }
}
