// Configurations as models publish them: the right rotation, or an error that names the field.

import EmbedKernel
import EmbedModels
import Foundation
import Testing

@Suite struct RotaryConfigurationTests {
  /// A file, and what transformers 5.24 makes of it.
  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var json: String
    var layerType: String?
    var pairs: Int?
    /// Radians a position of pair 1 and of the last.
    var second: Double?
    var last: Double?
    var scale = 1.0
    var layout: RotaryLayout?
    var testDescription: String { "\(name), \(layerType ?? "all layers")" }
  }

  private static let gemma3 = #"""
    {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", "hidden_size": 3840,
     "num_attention_heads": 16, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}}
    """#
  private static let modernBERT = #"""
    {"model_type": "modernbert", "hidden_size": 768, "num_attention_heads": 12,
     "global_rope_theta": 160000.0, "local_rope_theta": 10000.0}
    """#
  private static let olmo3 = #"""
    {"model_type": "olmo3", "head_dim": 128, "max_position_embeddings": 65536, "rope_theta": 500000,
     "layer_types": ["sliding_attention", "full_attention"], "rope_scaling": {"rope_type": "yarn",
     "factor": 8.0, "original_max_position_embeddings": 8192}}
    """#
  private static let nested = #"""
    {"model_type": "gemma3_text", "head_dim": 256, "rope_parameters": {"rope_theta": 1000000.0,
     "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
     "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}}
    """#
  private static let gemma4 = #"""
    {"model_type": "gemma4_text", "head_dim": 128, "layer_types": ["sliding_attention",
     "full_attention"], "per_layer_config": {"1": {"head_dim": 256}}, "rope_parameters": {
     "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25,
     "rope_theta": 1000000.0}, "sliding_attention": {"rope_type": "default",
     "rope_theta": 10000.0}}}
    """#

  static let cases: [Case] = [
    Case(
      name: "equal llama3 factors",
      json: #"""
        {"model_type": "llama4_text", "head_dim": 64, "rope_theta": 500000.0, "rope_scaling":
         {"rope_type": "llama3", "factor": 16.0, "low_freq_factor": 1.0, "high_freq_factor": 1.0,
         "original_max_position_embeddings": 8192}}
        """#, pairs: 32, second: 0.663601, last: 1.88366e-07, layout: .interleaved),
    Case(
      name: "Gemma 3's own head dim", json: gemma3, layerType: "full_attention", pairs: 128,
      second: 0.112211, last: 1.39247e-07),
    Case(
      name: "Gemma 3's own head dim", json: gemma3, layerType: "sliding_attention", pairs: 128,
      second: 0.930572, last: 1.07461e-04),
    Case(
      name: "GLM's own factor",
      json: #"{"model_type": "glm", "head_dim": 128, "rope_theta": 10000.0}"#, pairs: 32,
      layout: .interleaved),
    Case(
      name: "HunYuan's alpha",
      json: #"""
        {"model_type": "hunyuan_v1_dense", "head_dim": 128, "max_position_embeddings": 32768,
         "rope_theta": 10000.0, "rope_scaling": {"type": "dynamic", "alpha": 1000.0, "factor": 1.0}}
        """#, pairs: 64, second: 0.776034, last: 1.15478e-07),
    Case(
      name: "Olmo 3's unscaled layers", json: olmo3, layerType: "sliding_attention", pairs: 64,
      last: 2.45514e-06),
    Case(
      name: "ModernBERT", json: modernBERT, layerType: "full_attention", pairs: 32,
      second: 0.687656),
    Case(
      name: "ModernBERT", json: modernBERT, layerType: "sliding_attention", pairs: 32,
      second: 0.749894),
    Case(
      name: "ChatGLM's half head and ratio",
      json: #"""
        {"model_type": "chatglm", "hidden_size": 4096, "num_attention_heads": 32,
         "kv_channels": 128, "rope_ratio": 500}
        """#, pairs: 32, second: 0.617529, layout: .interleaved),
    Case(
      name: "Kimi K2's pairs",
      json: #"{"model_type": "kimi_k2", "qk_rope_head_dim": 64, "rope_theta": 50000.0}"#, pairs: 32,
      layout: .interleaved),
    Case(
      name: "RoFormer's pairs",
      json: #"{"model_type": "roformer", "hidden_size": 768, "num_attention_heads": 12}"#,
      pairs: 32, layout: .interleaved),
    Case(
      name: "a factor of another width",
      json: #"""
        {"model_type": "mistral4", "head_dim": 128, "qk_rope_head_dim": 64, "rope_parameters":
         {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}}
        """#, pairs: 32, layout: .interleaved),
    Case(
      name: "a hidden size beside the text part",
      json: #"""
        {"model_type": "paligemma", "hidden_size": 2048, "text_config": {"model_type": "gemma",
         "hidden_size": 2048, "num_attention_heads": 8, "head_dim": 256, "rope_theta": 10000.0}}
        """#, pairs: 128, second: 0.930572),
    Case(
      name: "a number beside layer types", json: nested, layerType: "full_attention",
      second: 0.112211, last: 1.39247e-07),
    Case(
      name: "a number beside layer types", json: nested, layerType: "sliding_attention",
      second: 0.930572),
    Case(
      name: "a head dim for each layer", json: gemma4, layerType: "full_attention", pairs: 128,
      last: 0),
    Case(
      name: "a head dim for each layer", json: gemma4, layerType: "sliding_attention", pairs: 64),
    Case(
      name: "Persimmon's own factor", json: #"{"model_type": "persimmon", "rope_theta": 25000.0}"#,
      pairs: 16),
    Case(
      name: "Phi-3.5-MoE's scales",
      json: #"""
        {"model_type": "phimoe", "hidden_size": 32, "num_attention_heads": 4,
         "max_position_embeddings": 64, "original_max_position_embeddings": 16, "rope_theta": 10000.0,
         "rope_scaling": {"type": "longrope", "short_factor": [1, 2, 1, 1], "long_factor": [1, 4, 4, 4],
         "short_mscale": 1.25, "long_mscale": 1.5}}
        """#, pairs: 4, second: 0.05, scale: 1.25),
    Case(
      name: "NeoX's names",
      json: #"""
        {"model_type": "gpt_neox", "hidden_size": 64, "num_attention_heads": 2, "rotary_pct": 0.25,
         "rotary_emb_base": 10000}
        """#, pairs: 4, second: 0.1),
    Case(
      name: "a base for each layer",
      json: #"""
        {"model_type": "step3p5", "head_dim": 128, "layer_types": ["full_attention",
         "sliding_attention", "sliding_attention"], "rope_theta": [5000000.0, 10000.0, 10000.0],
         "partial_rotary_factors": [0.5, 1.0, 1.0]}
        """#, layerType: "full_attention", pairs: 32, second: 0.617529),
  ]

  @Test(arguments: cases) func rightRotation(_ c: Case) throws {
    let configuration = try RotaryConfiguration(json: c.json, layerType: c.layerType)
    let angles = try RotaryEmbedding(configuration).frequencies()
    if let pairs = c.pairs { #expect(angles.radians.count == pairs) }
    for (pair, right) in [(1, c.second), (angles.radians.count - 1, c.last)] {
      guard let right else { continue }
      #expect(abs(angles.radians[pair] - right) <= 2e-5 * right, "pair \(pair)")
    }
    #expect(abs(angles.attentionFactor - c.scale) < 1e-12)
    if let layout = c.layout { #expect(configuration.layout == layout) }
  }

  /// A file and what its error names: the field, and a part of what it says.
  @Test(
    arguments: [
      (olmo3, "no_such_layer", "layer type", "sliding_attention"),
      (nested, nil, "rope_parameters", "one of full_attention, sliding_attention"),
      (gemma3, nil, "layer type", "one of full_attention, sliding_attention; those of"),
      (olmo3, nil, "layer type", "one of full_attention, sliding_attention; those of"),
      (modernBERT, nil, "layer type", "one of full_attention, sliding_attention; those of"),
      (
        #"{"model_type": "olmo3", "layer_types": ["full_attention"]}"#, "sliding_attention",
        "layer type", "expected one of full_attention"
      ),
      (
        #"{"model_type": "modernbert", "rope_scaling": {"type": "linear", "factor": 2}}"#,
        "full_attention", "rope_scaling.type", "rope_type in its place"
      ),
      (
        #"{"model_type": "neomme", "rope_parameters": {"full_attention": {"type": "linear", "factor": 2}}}"#,
        "full_attention", "rope_parameters.full_attention.type", "rope_type in its place"
      ),
      (
        #"{"model_type": "zamba2", "use_mem_rope": true, "head_dim": null}"#, nil, "head_dim",
        "or no such field"
      ),
      (
        #"{"model_type": "zamba2", "use_mem_rope": true, "use_long_context": true}"#, nil,
        "use_long_context", "not understood"
      ),
      (nested, "no_such_layer", "layer type", "full_attention"),
      (
        #"{"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2, "alpha": 3}}"#,
        nil,
        "rope_scaling.alpha", "llama"
      ),
      (
        #"{"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2, "twist": 3}}"#,
        nil,
        "rope_scaling.twist", "not understood"
      ),
      (
        #"{"model_type": "llama", "rope_parameters": {"factor": 2}}"#, nil,
        "rope_parameters.rope_type", "missing"
      ),
      (#"{"model_type": "llama", "rope_wobble": 3}"#, nil, "rope_wobble", "not understood"),
      (#"{"model_type": "llama", "rotary_emb_base": 5000}"#, nil, "rotary_emb_base", "10000"),
      (#"{"model_type": "gpt_neox", "rope_theta": 5000}"#, nil, "rope_theta", "10000"),
      (#"{"model_type": "stablelm", "rope_pct": 0.5}"#, nil, "rope_pct", "20 of 80"),
      (#"{"model_type": "llama", "kv_channels": 96}"#, nil, "kv_channels", "128"),
      (#"{"model_type": "llama", "swa_head_dim": 96}"#, nil, "swa_head_dim", "not understood"),
      (
        #"{"model_type": "no_such_model"}"#, nil, "rope_parameters.rope_theta", "type that is known"
      ),
      (
        #"{"model_type": "no_such_model", "rope_theta": 5000, "head_dim": 8}"#, nil, "model_type",
        "layout of pairs"
      ),
      (#"{"model_type": "dinov3_vit"}"#, nil, "model_type", "patch centres"),
      (#"{"model_type": "falcon", "alibi": true}"#, nil, "alibi", "no rotation"),
      (#"{"model_type": "gemma4_text", "rope_theta": 5}"#, "full_attention", "rope_theta", "alone"),
      (
        #"{"model_type": "gemma3_text", "rope_parameters": {"rope_type": "linear", "factor": 8}}"#,
        "full_attention", "rope_parameters", "an object for each of"
      ),
      (#"{"model_type": "apertus", "rope_theta": 5}"#, nil, "rope_theta", "12000000"),
      (#"{"model_type": "paligemma", "rope_theta": 5}"#, nil, "rope_theta", "reads that one"),
      (#"{"model_type": "llama", "head_dim": 4294967296}"#, nil, "head_dim", "1...65536"),
      (#"{"head_dim": 1000000000000000000}"#, nil, "head_dim", "1...65536"),
      (#"{"head_dim": 1e18}"#, nil, "head_dim", "1...65536"),
      (
        #"{"hidden_size": 2147483647, "num_attention_heads": 1}"#, nil,
        "hidden_size / num_attention_heads", "1...65536"
      ),
      (
        #"{"model_type": "smollm3", "layer_types": ["a", "b"], "no_rope_layers": [1, 0]}"#, "b",
        "layer type", "no rotation"
      ),
      (
        #"{"model_type": "molmo2_text", "num_hidden_layers": 3, "rope_scaling_layers": [0], "rope_scaling": {"type": "linear", "factor": 2}}"#,
        nil, "rope_scaling_layers", "1 of 3"
      ),
    ] as [(String, String?, String, String)])
  func errorsNameTheField(
    _ json: String, _ layerType: String?, _ field: String, _ part: String
  ) throws {
    #expect {
      try RotaryConfiguration(json: json, layerType: layerType)
    } throws: { error in
      guard case .invalidField(let name, _, _)? = error as? EmbedError else { return false }
      if name == field, "\(error)".contains(part) { return true }
      Issue.record("\(error)")
      return false
    }
  }

  /// A rotation of 64 elements, and heads that are wider: never all of the head.
  @Test func aPartOfEachHead() throws {
    let json = #"""
      {"model_type": "deepseek_v3", "qk_rope_head_dim": 64, "qk_nope_head_dim": 128,
       "rope_theta": 10000.0}
      """#
    #expect(throws: EmbedError.self) { try RotaryConfiguration(json: json, headDim: 192) }
    #expect(try RotaryConfiguration(json: json, headDim: 64).rotaryDim == 64)
    // DeepSeek-V4's turns the last 64 elements of 512.
    let last = try RotaryConfiguration(json: #"{"model_type": "deepseek_v4"}"#, layerType: "main")
    #expect(last.headDim == 64)
    #expect(throws: EmbedError.self) {
      try RotaryConfiguration(
        json: #"{"model_type": "deepseek_v4"}"#, layerType: "main", headDim: 512)
    }
  }

  /// NanoChat turns by the negative angle.
  @Test func theOtherWay() throws {
    let configuration = try RotaryConfiguration(json: #"{"model_type": "nanochat", "head_dim": 8}"#)
    #expect(configuration.turn == .backward)
    #expect(try RotaryEmbedding(configuration).turn == .backward)
  }

  /// Ernie 4.5 VL: heights and widths in turn, then time; each pair with its own frequency.
  @Test func axesOfErnie() throws {
    let json = #"{"model_type": "ernie4_5_vl_moe_text", "head_dim": 128}"#
    let configuration = try RotaryConfiguration(json: json)
    #expect(configuration.axes == .alternatingSections([22, 22, 20]))
    let embedding = try RotaryEmbedding(configuration)
    let radians = try embedding.frequencies().radians
    let shape = RotaryShape(batch: 1, heads: 1, context: 1, headDim: 128)
    let x = [Float](repeating: 0, count: 128).enumerated().map { Float($0.offset % 2 == 0 ? 1 : 0) }
    var y = [Float](repeating: .nan, count: 128)
    var span = y.mutableSpan
    // Time 3, height 5, width 7.
    let places: [Int32] = [3, 5, 7]
    try embedding.rotate(x.span, shape: shape, coordinates: places.span, into: &span)
    for pair in 0..<64 {
      let place = pair >= 44 ? 3.0 : pair % 2 == 0 ? 5 : 7
      #expect(abs(Double(y[2 * pair]) - cos(place * radians[pair])) < 1e-6, "pair \(pair)")
      #expect(abs(Double(y[2 * pair + 1]) - sin(place * radians[pair])) < 1e-6, "pair \(pair)")
    }
  }
}

/// The scaling schemes against transformers, whose own code made the fixtures in Double.
@Suite struct RotaryScalingFixtureTests {
  @Test(arguments: try RotaryFixtures.scalings())
  func frequenciesAreThoseOfTransformers(_ fixture: RotaryFixtures.Scaling) throws {
    let embedding = try RotaryEmbedding(
      RotaryConfiguration(json: fixture.config, layerType: fixture.layerType))
    let scale = embedding.scaling.scale(length: fixture.length ?? 1)
    let angles = try embedding.frequencies(under: scale)
    #expect(angles.radians.count == fixture.frequencies.count)
    for (pair, (actual, expected)) in zip(angles.radians, fixture.frequencies).enumerated() {
      #expect(abs(actual - expected) <= 1e-12 * expected, "pair \(pair): \(actual), \(expected)")
    }
    #expect(abs(angles.attentionFactor - fixture.factor) <= 1e-12)
  }
}

/// A part of the sweep over all model types of transformers (scripts/reference/sweep_rotary.py).
@Suite struct RotarySweepTests {
  @Test(arguments: try RotaryFixtures.sweep())
  func rotationIsThatOfTransformers(_ fixture: RotaryFixtures.Sweep) throws {
    let configuration = try RotaryConfiguration(
      json: fixture.config, layerType: fixture.layerType)
    let embedding = try RotaryEmbedding(configuration)
    let scale = embedding.scaling.scale(length: 8)
    let angles = try embedding.frequencies(under: scale)
    #expect(angles.radians.count == fixture.pairs)
    for (pair, right) in [
      (min(1, fixture.pairs - 1), fixture.second), (fixture.pairs - 1, fixture.last),
    ] {
      #expect(abs(angles.radians[pair] - right) <= 3e-5 * right, "pair \(pair)")
    }
    let rows = try embedding.rows(first: 7, count: 1, under: scale)
    let bound = 2e-5 * max(1, angles.attentionFactor)
    #expect(abs(Double(rows.cosines[0]) - fixture.cosine) <= bound)
    #expect(abs(Double(rows.sines[fixture.pairs - 1]) - fixture.sine) <= bound)
    #expect(configuration.layout.rawValue == fixture.layout ?? configuration.layout.rawValue)
  }
}
