// The oracle of the GPT: the whole forward pass in Double, a sequence at a time, by plain loops over
// arrays of GPT-2's names. It shares nothing with the library; gradients come of it by central
// differences. What position schemes and rows do is in ReferenceGPT+Parts.swift.
//
// V vocabulary, T context, D dim, H heads.

/// A decoder-only transformer of GPT-2's kind.
public struct ReferenceGPT: Sendable {
  /// How the model knows where a token stands.
  public enum Positions: String, CaseIterable, Sendable {
    case none, learned, sinusoidal, rope, alibi, t5
  }

  /// What a pass gives.
  public struct Output: Sendable {
    /// The mean of all losses.
    public var loss: Double
    /// The loss of each place, shape `[batch, context]`.
    public var losses: [Double]
    /// What the last normalisation gives, shape `[batch, context, dim]`.
    public var hidden: [Double]
    /// The logits, shape `[batch, context, vocabulary]`.
    public var logits: [Double]
  }

  /// The number of tokens.
  public var vocabulary: Int
  /// The number of elements of a token's vector.
  public var dim: Int
  /// The heads of a block.
  public var heads: Int
  /// The number of blocks.
  public var layers: Int
  /// How the model knows where a token stands.
  public var positions: Positions
  /// Whether a token sees only itself and what stands before it.
  public var isCausal: Bool
  /// Whether logits come from the token table; else from `lm_head.weight`.
  public var isTied: Bool
  /// The parameters by GPT-2's names; weights of linear layers have the shape `[in, out]`.
  public var parameters: [String: [Double]]

  /// A model; missing parameters trap when they are read.
  public init(
    vocabulary: Int, dim: Int, heads: Int, layers: Int, positions: Positions, isCausal: Bool,
    isTied: Bool, parameters: [String: [Double]]
  ) {
    self.vocabulary = vocabulary
    self.dim = dim
    self.heads = heads
    self.layers = layers
    self.positions = positions
    self.isCausal = isCausal
    self.isTied = isTied
    self.parameters = parameters
  }

  /// The pass over sequences of `context` tokens, one after the other.
  public func run(_ ids: [Int], targets: [Int], context: Int) -> Output {
    var output = Output(loss: 0, losses: [], hidden: [], logits: [])
    let head = self[isTied ? "wte.weight" : "lm_head.weight"]
    for start in stride(from: 0, to: ids.count, by: context) {
      let hidden = hidden(Array(ids[start..<start + context]))
      for t in 0..<context {
        var logits = [Double](repeating: 0, count: vocabulary)
        for v in 0..<vocabulary {
          for i in 0..<dim { logits[v] += hidden[t * dim + i] * head[v * dim + i] }
        }
        output.losses.append(Self.logOfSum(logits) - logits[targets[start + t]])
        output.logits += logits
      }
      output.hidden += hidden
    }
    output.loss = output.losses.reduce(0, +) / Double(output.losses.count)
    return output
  }

  /// The loss's slope along an element, by central differences.
  ///
  /// The error is that of the third derivative, `step² / 6` times it, and of rounding, about
  /// `2⁻⁵² * loss / step`.
  public mutating func slope(
    of name: String, _ element: Int, step: Double = 1e-5, _ ids: [Int], targets: [Int],
    context: Int
  ) -> Double {
    let value = self[name][element]
    parameters[name]?[element] = value + step
    let above = run(ids, targets: targets, context: context).loss
    parameters[name]?[element] = value - step
    let below = run(ids, targets: targets, context: context).loss
    parameters[name]?[element] = value
    return (above - below) / ((value + step) - (value - step))
  }

  /// What the last normalisation gives for a sequence, shape `[context, dim]`.
  func hidden(_ ids: [Int]) -> [Double] {
    var x = input(ids)
    for layer in 0..<layers {
      let block = "h.\(layer)."
      let seen = linear(normalized(x, block + "ln_1"), block + "attn.c_attn", 3 * dim)
      add(linear(attention(seen, ids.count), block + "attn.c_proj", dim), to: &x)
      let inner = linear(normalized(x, block + "ln_2"), block + "mlp.c_fc", 4 * dim)
      add(linear(inner.map(Self.gelu), block + "mlp.c_proj", dim), to: &x)
    }
    return normalized(x, "ln_f")
  }

  /// Each head's mixture of values by the softmax of its logits.
  ///
  /// - Parameter projected: Queries, keys and values beside each other, shape `[context, 3 * dim]`.
  func attention(_ projected: [Double], _ context: Int) -> [Double] {
    let headDim = dim / heads
    let trained = positions == .t5 ? self["relative_attention_bias.weight"] : []
    var output = [Double](repeating: 0, count: context * dim)
    for head in 0..<heads {
      let queries = headRows(projected, part: 0, head, context)
      let keys = headRows(projected, part: 1, head, context)
      for q in 0..<context {
        let last = isCausal ? q : context - 1
        var weights = [Double](repeating: 0, count: last + 1)
        for k in 0...last {
          var product = 0.0
          for i in 0..<headDim { product += queries[q * headDim + i] * keys[k * headDim + i] }
          weights[k] =
            product / Double(headDim).squareRoot() + bias(head, query: q, key: k, trained)
        }
        let total = Self.logOfSum(weights)
        for k in 0...last {
          let weight = Self.exponential(weights[k] - total)
          for i in 0..<headDim {
            output[q * dim + head * headDim + i] +=
              weight * projected[k * 3 * dim + 2 * dim + head * headDim + i]
          }
        }
      }
    }
    return output
  }

  /// The parameter of a name; a wrong name is a fault of the test.
  subscript(name: String) -> [Double] {
    guard let values = parameters[name] else { preconditionFailure("no parameter \(name)") }
    return values
  }
}
