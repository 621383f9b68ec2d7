// Bad configurations: errors that name the field.

import EmbedKernel
import EmbedModels
import Testing

@Suite struct RotaryConfigurationErrorTests {
  @Test(arguments: [
    (#"{"rope_scaling": {"rope_type": "spiral"}}"#, "rope_scaling.rope_type", "\"spiral\""),
    (#"{"rope_scaling": {"type": "linear"}}"#, "rope_scaling.factor", "missing"),
    (#"{"rope_scaling": {"type": "linear", "factor": "4"}}"#, "rope_scaling.factor", "\"4\""),
    (#"{"rope_scaling": {"type": "linear", "factor": 0}}"#, "rope_scaling.factor", "0.0"),
    (#"{"rope_theta": NaN}"#, "rope_theta", "nan"),
    (#"{"rope_parameters": {"rope_theta": NaN}}"#, "rope_parameters.rope_theta", "nan"),
    (#"{"rope_parameters": {"rope_theta": -1}}"#, "rope_parameters.rope_theta", "-1.0"),
    (#"{"rope_theta": Infinity}"#, "rope_theta", "inf"),
    (#"{"rope_scaling": 4}"#, "rope_scaling", "4"),
    (#"{"rope_scaling": {"rope_type": 7}}"#, "rope_scaling.rope_type", "7"),
    (#"{"rope_scaling": {"type": "dynamic", "factor": 2}}"#, "max_position_embeddings", "missing"),
    (
      #"{"rope_scaling": {"type": "yarn", "factor": 2}}"#,
      "rope_scaling.original_max_position_embeddings", "missing"
    ),
    (
      #"{"rope_scaling": {"type": "yarn", "original_max_position_embeddings": 4}}"#,
      "rope_scaling.factor", "missing"
    ),
    (
      #"{"rope_scaling": {"type": "llama3", "factor": 8, "high_freq_factor": 4}}"#,
      "rope_scaling.low_freq_factor", "missing"
    ),
    (
      #"{"original_max_position_embeddings": 4, "rope_scaling": {"type": "longrope", "factor": 2, "long_factor": []}}"#,
      "rope_scaling.short_factor", "missing"
    ),
    (
      #"{"original_max_position_embeddings": 4, "rope_scaling": {"type": "longrope", "factor": 2, "short_factor": [1, 2]}}"#,
      "rope_scaling.short_factor", "an array of 2"
    ),
    (
      #"{"rope_parameters": {"partial_rotary_factor": 1.5}}"#,
      "rope_parameters.partial_rotary_factor", "1.5"
    ),
    (#"{"rope_parameters": {"mrope_section": [1, 1]}}"#, "rope_parameters.mrope_section", "[1, 1]"),
    (#"{"rotary_dim": 3}"#, "rotary_dim", "3 rotated elements"),
    (
      #"{"rope_parameters": {"full_attention": {}, "local": null}}"#, "rope_parameters",
      "an object by layer type"
    ),
    (
      #"{"model_type": "gemma3_text", "rope_parameters": {"full_attention": {}}}"#,
      "rope_parameters", "an object by layer type"
    ),
    (#"{"model_type": "gemma3_text"}"#, "layer type", "missing"),
    (#"{"model_type": "gemma4_text", "rope_parameters": null}"#, "layer type", "missing"),
    (#"{"#, "(whole text)", "not JSON at byte 1"), (#"[]"#, "(whole text)", "an array of 0"),
  ])
  func configurationErrorsNameTheField(_ json: String, _ field: String, _ found: String) throws {
    #expect {
      try RotaryConfiguration(json: json, headDim: 8)
    } throws: { error in
      guard case .invalidField(let name, let what, _)? = error as? EmbedError else { return false }
      return name == field && what == found
    }
  }

  @Test(arguments: [
    (#"{"head_dim": 7}"#, "head_dim", "7"),
    (#"{"hidden_size": 64}"#, "num_attention_heads", "missing"),
    (
      #"{"hidden_size": 21, "num_attention_heads": 3}"#, "hidden_size / num_attention_heads", "7"
    ),
  ])
  func headDims(_ json: String, _ field: String, _ found: String) {
    #expect {
      try RotaryConfiguration(json: json)
    } throws: { error in
      guard case .invalidField(let name, let what, _)? = error as? EmbedError else { return false }
      return name == field && what == found
    }
  }

  @Test func configurationsAsModelsWriteThem() throws {
    let gemma = #"""
      {"model_type": "gemma4", "text_config": {"hidden_size": 64, "head_dim": 16,
       "global_head_dim": 32, "num_attention_heads": 4, "rope_parameters": {
       "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25,
       "rope_theta": 1000000.0}, "sliding_attention": {"rope_type": "default",
       "rope_theta": 10000.0}, "none": null}}}
      """#
    let full = try RotaryConfiguration(json: gemma, layerType: "full_attention")
    #expect((full.headDim, full.rotaryDim, full.base) == (32, 32, 1e6))
    #expect(full.scaling is ProportionalScaling)
    let sliding = try RotaryConfiguration(json: gemma, layerType: "sliding_attention")
    #expect((sliding.headDim, sliding.base) == (16, 10_000))
    #expect(
      try RotaryConfiguration.layerTypes(json: gemma) == [
        "full_attention", "sliding_attention", "none",
      ])
    #expect(throws: EmbedError.self) { try RotaryConfiguration(json: gemma, layerType: "none") }

    let gptj = try RotaryConfiguration(
      json: #"{"model_type": "gptj", "n_embd": 64, "n_head": 2, "rotary_dim": 16}"#)
    #expect((gptj.headDim, gptj.rotaryDim, gptj.layout) == (32, 16, .interleaved))
    let neox = try RotaryConfiguration(
      json:
        #"{"model_type": "gpt_neox", "hidden_size": 64, "num_attention_heads": 2, "rotary_pct": 0.25, "rotary_emb_base": 5000}"#
    )
    #expect((neox.rotaryDim, neox.base, neox.layout) == (8, 5_000, .halves))
    let qwen = try RotaryConfiguration(
      json: #"{"head_dim": 32, "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]}}"#)
    #expect(qwen.axes == .sections([4, 6, 6]))
  }
}
