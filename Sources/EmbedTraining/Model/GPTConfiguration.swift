// The sizes and choices that fix a GPT, and whether they go together.
//
// V vocabulary, T context, D dim, H heads, L layers.

public import EmbedKernel

/// What fixes a decoder-only transformer of GPT-2's kind.
public struct GPTConfiguration: Hashable, Sendable {
  /// The number of tokens.
  public var vocabulary: Int
  /// The longest sequence in training; the rows of a position table.
  public var context: Int
  /// The number of floats of a token's vector.
  public var dim: Int
  /// The number of attention heads of a block.
  public var heads: Int
  /// The number of blocks.
  public var layers: Int
  /// How the model knows where a token stands.
  public var positions: PositionScheme
  /// What a token sees.
  public var direction: AttentionDirection
  /// Where logits come from.
  public var head: OutputHead

  /// Takes the sizes as they are; making a model checks them.
  public init(
    vocabulary: Int, context: Int, dim: Int, heads: Int, layers: Int,
    positions: PositionScheme = .learned, direction: AttentionDirection = .causal,
    head: OutputHead = .tied
  ) {
    self.vocabulary = vocabulary
    self.context = context
    self.dim = dim
    self.heads = heads
    self.layers = layers
    self.positions = positions
    self.direction = direction
    self.head = head
  }

  /// The number of floats of a head's vector.
  public var headDim: Int { dim / heads }

  /// The bytes of all parameters, as a Double because sizes that nobody has checked may have any
  /// product.
  var parameterBytes: Double {
    let tables = head == .untied ? 2 : 1
    let rows =
      Double(vocabulary) * Double(tables) + (positions == .learned ? Double(context) : 0)
    return 4 * (rows + 2) * Double(dim) + blockBytes
  }

  /// The bytes of the blocks' parameters.
  var blockBytes: Double { 4 * Double(layers) * (12 * Double(dim) + 13) * Double(dim) }

  /// The floats of a block's inner layer.
  public var innerDim: Int { 4 * dim }

  /// The epsilon of each normalisation, GPT-2's.
  public static let epsilon: Float = 1e-5

  /// Checks the sizes.
  ///
  /// - Throws: `invalidSize` for a size below 1, a dim that the heads do not divide, or an odd head
  ///   dim with `rope`.
  public func check() throws(EmbedError) {
    for (name, value) in [
      ("vocabulary", vocabulary), ("context", context), ("dim", dim), ("heads", heads),
      ("layers", layers),
    ] where value < 1 {
      throw .invalidSize(argument: name, value: value, expected: "1 or more")
    }
    guard dim.isMultiple(of: heads) else {
      throw .invalidSize(argument: "dim", value: dim, expected: "a multiple of the heads, \(heads)")
    }
    guard positions != .rope || headDim.isMultiple(of: 2) else {
      throw .invalidSize(
        argument: "head dim", value: headDim, expected: "an even number, as rope turns pairs")
    }
  }
}

/// What a token sees.
public enum AttentionDirection: String, CaseIterable, Sendable {
  /// Itself and what stands before it.
  case causal
  /// All tokens of its sequence.
  case bidirectional
}

/// Where logits come from.
public enum OutputHead: String, CaseIterable, Sendable {
  /// The token table, as in GPT-2.
  case tied
  /// A table of its own.
  case untied
}
