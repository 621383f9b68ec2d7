// A decoder-only transformer of GPT-2's kind (Radford et al., "Language Models are Unsupervised
// Multitask Learners", 2019), with the positions and the input embedding of EmbedKernel.
//
//     x = tokens[ids] + positions
//     x += c_proj(attention(c_attn(ln_1(x))));  x += c_proj(gelu(c_fc(ln_2(x))))    for each block
//     logits = ln_f(x) * head^T
//
// V vocabulary, T context, D dim, H heads, L layers.

public import EmbedKernel
public import EmbedResizing

/// A GPT: its parameters and its input embedding.
///
/// A value of this class belongs to one thread at a time; passes split their work themselves.
public final class GPT {
  /// The sizes and choices.
  public let configuration: GPTConfiguration

  /// Tokens, and the positions that are added to them.
  public private(set) var input: InputEmbedding

  /// All parameters, in the order of the model.
  public let parameters: [Parameter]

  let parts: PositionParts
  let tokens: Parameter
  let positions: Parameter?
  let biasWeights: Parameter?
  let blocks: [Block]
  let finalNorm: NormParameters
  let head: Parameter

  /// A model with parameters drawn as GPT-2's: normal with a deviation of 0.02, and of
  /// 0.02 / sqrt(2 L) for the projections that end a block's two halves; T5's biases with one of
  /// 1 / sqrt(D).
  ///
  /// - Parameter seed: The same seed gives the same bits for every number of threads.
  /// - Throws: `EmbedError` for sizes that do not go together, or where memory ends.
  public convenience init(
    _ configuration: GPTConfiguration, seed: UInt64 = 0
  ) throws(EmbedError) {
    try self.init(configuration, seed: seed, sinusoids: configuration.context)
  }

  /// The same with only the first `sinusoids` rows of sinusoidal positions; a workspace for longer
  /// sequences has the others made.
  init(
    _ configuration: GPTConfiguration, seed: UInt64 = 0, sinusoids: Int
  ) throws(EmbedError) {
    try configuration.check()
    let dim = configuration.dim
    // With gradients, and some memory for each of a block's many small objects.
    try SystemMemory.check(
      Int(
        saturating: 2 * configuration.parameterBytes + Double(configuration.layers) * 0x1p14))
    let parts = try PositionParts(configuration, sinusoids: sinusoids, seed: seed)
    let input = try InputEmbedding(
      vocabulary: configuration.vocabulary, dim: dim, positions: parts.rows, scale: parts.scale,
      seed: seed)
    var drawer = ParameterDrawer(seed: seed)

    let tokens = try Parameter("wte.weight", input.tokens.table)
    var list = [tokens]
    var positions: Parameter?
    if input.positionsAreTrained, let table = input.positions {
      let parameter = try Parameter("wpe.weight", table)
      positions = parameter
      list.append(parameter)
    }
    var blocks: [Block] = []
    for layer in 0..<configuration.layers {
      let block = try Block(layer, configuration, &drawer)
      blocks.append(block)
      list += block.parameters
    }
    let finalNorm = try NormParameters("ln_f", dim)
    list += [finalNorm.weight, finalNorm.bias]
    var head = tokens
    if configuration.head == .untied {
      head = try drawer.matrix("lm_head.weight", configuration.vocabulary, dim, sigma: 0.02)
      list.append(head)
    }
    var biasWeights: Parameter?
    if let weights = parts.biasWeights {
      let parameter = try Parameter("relative_attention_bias.weight", weights, decays: false)
      biasWeights = parameter
      list.append(parameter)
    }

    self.configuration = configuration
    self.input = input
    self.parts = parts
    self.tokens = tokens
    self.positions = positions
    self.blocks = blocks
    self.finalNorm = finalNorm
    self.head = head
    self.biasWeights = biasWeights
    parameters = list
  }

  /// The number of floats of all parameters.
  public var parameterCount: Int {
    parameters.reduce(0) { $0 + $1.table.rows * $1.table.dim }
  }

  /// Makes the rows of sinusoids that a file's model has put off, for sequences of `context` tokens.
  func reach(_ context: Int) throws(EmbedError) {
    guard configuration.positions == .sinusoidal, context <= configuration.context else { return }
    try extend(to: context)
  }

  /// Stretches positions to sequences of `context` tokens, for evaluation and sampling: sinusoids are
  /// computed, trained rows interpolated, and relative schemes reach any length as they are. Trained
  /// rows stay what they are in `parameters`.
  ///
  /// - Parameter interpolation: How trained rows are stretched.
  /// - Throws: `contextTooLong` for trained rows without an interpolation; `outOfMemory`.
  public func extend(
    to context: Int, interpolation: PositionInterpolation? = nil
  ) throws(EmbedError) {
    guard let table = positions?.table ?? input.positions, context > table.rows else { return }
    let stretched: EmbeddingTable<Float>
    if positions == nil {
      let longer = try InputEmbedding(
        vocabulary: 1, dim: configuration.dim, positions: .sinusoidal(maximum: context))
      stretched = longer.positions ?? table
    } else if let interpolation {
      stretched = try table.interpolated(rows: context, by: interpolation)
    } else {
      throw .contextTooLong(offset: 0, context: context, maximum: table.rows)
    }
    input = try InputEmbedding(
      tokens: input.tokens, positions: stretched, positionsAreTrained: false, scale: parts.scale)
  }
}

/// Gain and offset of a layer normalisation.
struct NormParameters {
  let weight: Parameter
  let bias: Parameter

  init(_ name: String, _ dim: Int) throws(EmbedError) {
    let gains = try EmbeddingTable<Float>(rows: 1, dim: dim)
    gains.withMutableSpan { span in
      for i in span.indices { span[i] = 1 }
    }
    weight = try Parameter(name + ".weight", gains)
    bias = try Parameter(name + ".bias", EmbeddingTable<Float>(rows: 1, dim: dim))
  }

  /// The parameters with the memory that the forward pass keeps of each row.
  func rows(mean: UnsafeMutablePointer<Float>, rstd: UnsafeMutablePointer<Float>) -> NormRows {
    unsafe NormRows(gamma: weight.matrix.base, beta: bias.matrix.base, mean: mean, rstd: rstd)
  }
}

/// The weight `[in, out]` and bias of a linear layer.
struct LinearParameters {
  let weight: Parameter
  let bias: Parameter

  init(
    _ name: String, _ inputs: Int, _ outputs: Int, sigma: Double, _ drawer: inout ParameterDrawer
  ) throws(EmbedError) {
    weight = try drawer.matrix(name + ".weight", inputs, outputs, sigma: sigma)
    bias = try Parameter(name + ".bias", EmbeddingTable<Float>(rows: 1, dim: outputs))
  }
}

/// A block's parameters.
struct Block {
  let firstNorm: NormParameters
  /// Columns of queries, keys and values.
  let attention: LinearParameters
  let attentionOutput: LinearParameters
  let secondNorm: NormParameters
  let inner: LinearParameters
  let innerOutput: LinearParameters

  init(
    _ layer: Int, _ sizes: GPTConfiguration, _ drawer: inout ParameterDrawer
  ) throws(EmbedError) {
    let (name, dim) = ("h.\(layer).", sizes.dim)
    let last = 0.02 / (2 * Double(sizes.layers)).squareRoot()
    firstNorm = try NormParameters(name + "ln_1", dim)
    attention = try LinearParameters(name + "attn.c_attn", dim, 3 * dim, sigma: 0.02, &drawer)
    attentionOutput = try LinearParameters(name + "attn.c_proj", dim, dim, sigma: last, &drawer)
    secondNorm = try NormParameters(name + "ln_2", dim)
    inner = try LinearParameters(name + "mlp.c_fc", dim, sizes.innerDim, sigma: 0.02, &drawer)
    innerOutput = try LinearParameters(
      name + "mlp.c_proj", sizes.innerDim, dim, sigma: last, &drawer)
  }

  /// In the order of the model.
  var parameters: [Parameter] {
    [
      firstNorm.weight, firstNorm.bias, attention.weight, attention.bias, attentionOutput.weight,
      attentionOutput.bias, secondNorm.weight, secondNorm.bias, inner.weight, inner.bias,
      innerOutput.weight, innerOutput.bias,
    ]
  }
}

/// Draws matrices, each from a stream of its own.
struct ParameterDrawer {
  let seed: UInt64
  /// The first ones are those of the input embedding.
  static let biasStream: UInt64 = 15
  private var stream: UInt64 = 16

  init(seed: UInt64) { self.seed = seed }

  mutating func matrix(
    _ name: String, _ rows: Int, _ columns: Int, sigma: Double
  ) throws(EmbedError) -> Parameter {
    defer { stream += 1 }
    return try Parameter(
      name,
      EmbeddingTable<Float>(
        rows: rows, dim: columns, .normal(sigma: Float(sigma)), seed: seed, stream: stream))
  }
}
