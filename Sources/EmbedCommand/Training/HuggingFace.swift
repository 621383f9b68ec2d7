// A model's configuration as Hugging Face's transformers reads it, so that a model of GPT-2's kind loads
// there by `GPT2LMHeadModel.from_pretrained(FOLDER)`.

internal import EmbedTraining

enum HuggingFace {
  /// The text of config.json; nil for a model that is none of GPT-2's: with other positions than
  /// learned ones, a head of its own, or without a causal mask.
  static func configuration(of model: GPTConfiguration) -> String? {
    guard model.positions == .learned, model.head == .tied, model.direction == .causal else {
      return nil
    }
    return """
      {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": \(model.vocabulary),
        "n_positions": \(model.context),
        "n_embd": \(model.dim),
        "n_layer": \(model.layers),
        "n_head": \(model.heads),
        "n_inner": \(model.innerDim),
        "activation_function": "gelu_new",
        "layer_norm_epsilon": \(Double(GPTConfiguration.epsilon.description) ?? 1e-5),
        "tie_word_embeddings": true,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "bos_token_id": null,
        "eos_token_id": null,
        "torch_dtype": "float32"
      }

      """
  }
}
