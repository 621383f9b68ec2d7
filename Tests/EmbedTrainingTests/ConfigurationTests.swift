// Which sizes go together.

import EmbedKernel
import EmbedTraining
import Testing

@Suite struct ConfigurationTests {
  static let wrong: [(String, GPTConfiguration)] = [
    ("vocabulary", GPTConfiguration(vocabulary: 0, context: 4, dim: 8, heads: 2, layers: 1)),
    ("context", GPTConfiguration(vocabulary: 7, context: 0, dim: 8, heads: 2, layers: 1)),
    ("dim", GPTConfiguration(vocabulary: 7, context: 4, dim: -8, heads: 2, layers: 1)),
    ("heads", GPTConfiguration(vocabulary: 7, context: 4, dim: 8, heads: 0, layers: 1)),
    ("layers", GPTConfiguration(vocabulary: 7, context: 4, dim: 8, heads: 2, layers: 0)),
    ("dim", GPTConfiguration(vocabulary: 7, context: 4, dim: 9, heads: 2, layers: 1)),
    (
      "head dim",
      GPTConfiguration(
        vocabulary: 7, context: 4, dim: 6, heads: 2, layers: 1, positions: .rope)
    ),
  ]

  @Test(arguments: wrong.indices) func refuses(index: Int) {
    let (name, configuration) = Self.wrong[index]
    #expect {
      try GPT(configuration)
    } throws: { error in
      guard case .invalidSize(argument: name, _, _) = error as? EmbedError else { return false }
      return true
    }
  }

  /// One row does not make a matrix a vector, which would not decay.
  @Test func matricesOfOneRowAreMatrices() throws {
    let model = try GPT(GPTConfiguration(vocabulary: 1, context: 1, dim: 1, heads: 1, layers: 1))
    let named = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0) })
    for (name, shape) in [
      ("wte.weight", [1, 1]), ("wpe.weight", [1, 1]), ("h.0.attn.c_attn.weight", [1, 3]),
      ("h.0.attn.c_proj.weight", [1, 1]), ("h.0.mlp.c_fc.weight", [1, 4]),
      ("h.0.mlp.c_proj.weight", [4, 1]),
    ] {
      #expect(named[name]?.shape == shape && named[name]?.decays == true, "\(name)")
    }
    #expect(named["ln_f.weight"]?.shape == [1] && named["ln_f.weight"]?.decays == false)
    #expect(named["h.0.attn.c_attn.bias"]?.shape == [3])
  }

  @Test func namesAreGPT2s() throws {
    let model = try GPT(
      GPTConfiguration(vocabulary: 7, context: 4, dim: 8, heads: 2, layers: 1, head: .untied))
    let named = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.shape) })
    #expect(
      named == [
        "wte.weight": [7, 8], "wpe.weight": [4, 8], "h.0.ln_1.weight": [8], "h.0.ln_1.bias": [8],
        "h.0.attn.c_attn.weight": [8, 24], "h.0.attn.c_attn.bias": [24],
        "h.0.attn.c_proj.weight": [8, 8], "h.0.attn.c_proj.bias": [8], "h.0.ln_2.weight": [8],
        "h.0.ln_2.bias": [8], "h.0.mlp.c_fc.weight": [8, 32], "h.0.mlp.c_fc.bias": [32],
        "h.0.mlp.c_proj.weight": [32, 8], "h.0.mlp.c_proj.bias": [8], "ln_f.weight": [8],
        "ln_f.bias": [8], "lm_head.weight": [7, 8],
      ])
  }
}
