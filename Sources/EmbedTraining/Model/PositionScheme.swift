// The position schemes that a model can be made with, and what each brings. A new one is a line of
// this list and its parts in `PositionParts`.

internal import EmbedKernel

/// How a model knows where a token stands.
public enum PositionScheme: String, CaseIterable, Sendable {
  /// Not at all, but for what the causal mask hides.
  case none
  /// By a trained row added for each place; knows no place past its table.
  case learned
  /// By a fixed row of sines and cosines added for each place.
  case sinusoidal
  /// By rotating queries and keys.
  case rope
  /// By a penalty on attention logits that grows with the distance.
  case alibi
  /// By a trained number for each bucket of distances and each head.
  case t5
}

/// What a scheme adds to a model: rows at the input, a rotation of queries and keys, or a bias of
/// attention logits.
struct PositionParts {
  /// Rows added to those of tokens.
  var rows = AbsolutePositions.none
  /// What multiplies the rows of tokens before: as the Transformer's paper has it, sinusoids of
  /// length sqrt(dim/2) would drown rows drawn as small as GPT-2's.
  var scale = EmbeddingScale.one
  /// The rotation.
  var rotary: RotaryEmbedding?
  /// The bias.
  var bias: DistanceTable?
  /// The trained numbers of the bias, shape `[buckets, heads]`.
  var biasWeights: EmbeddingTable<Float>?

  /// The parts of a checked configuration.
  ///
  /// - Parameter sinusoids: The rows of sinusoidal positions to make.
  init(_ configuration: GPTConfiguration, sinusoids: Int, seed: UInt64) throws(EmbedError) {
    let (heads, isCausal) = (configuration.heads, configuration.direction == .causal)
    switch configuration.positions {
    case .none: break
    case .learned: rows = .learned(maximum: configuration.context)
    case .sinusoidal:
      rows = .sinusoidal(maximum: sinusoids)
      scale = .sqrtDim
    case .rope: rotary = try RotaryEmbedding(headDim: configuration.headDim)
    case .alibi:
      bias = try DistanceTable(ALiBi(heads: heads, direction: isCausal ? .causal : .symmetric))
    case .t5:
      let buckets = try DistanceBuckets(direction: isCausal ? .causal : .bidirectional)
      // As Hugging Face draws them.
      let sigma = Float(1 / Double(configuration.dim).squareRoot())
      let weights = try EmbeddingTable<Float>(
        rows: buckets.count, dim: heads, .normal(sigma: sigma), seed: seed,
        stream: ParameterDrawer.biasStream)
      biasWeights = weights
      bias = try DistanceTable(T5Bias(buckets, weights: weights))
    }
  }
}
