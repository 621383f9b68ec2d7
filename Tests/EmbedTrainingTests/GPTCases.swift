// Small models with their oracle: parameters are drawn far larger than for training, so that no
// gradient drowns in rounding.
//
// V vocabulary, B batch, T context, D dim, H heads, L layers.

import EmbedKernel
import EmbedTraining
import ReferenceKernels
import TestSupport
import Testing

/// A model's choices.
struct GPTCase: Sendable, CustomTestStringConvertible {
  var positions: PositionScheme
  var direction: AttentionDirection
  var head: OutputHead

  var testDescription: String {
    "\(positions.rawValue), \(direction.rawValue), \(head.rawValue)"
  }

  /// Every scheme in both directions with both heads.
  static let all = PositionScheme.allCases.flatMap { positions in
    AttentionDirection.allCases.flatMap { direction in
      OutputHead.allCases.map { GPTCase(positions: positions, direction: direction, head: $0) }
    }
  }

  /// Every scheme in both directions, with the one head or the other.
  static let alternating = all.enumerated().filter { [0, 3].contains($0.offset % 4) }
    .map(\.element)

  /// The configuration of this case.
  func configuration(
    vocabulary: Int = 11, context: Int = 6, dim: Int = 8, heads: Int = 2, layers: Int = 2
  ) -> GPTConfiguration {
    GPTConfiguration(
      vocabulary: vocabulary, context: context, dim: dim, heads: heads, layers: layers,
      positions: positions, direction: direction, head: head)
  }
}

extension SeededGenerator {
  mutating func ids(_ count: Int, below limit: Int) -> [Int32] {
    (0..<count).map { _ in Int32.random(in: 0..<Int32(limit), using: &self) }
  }
}

extension GPT {
  /// A model whose parameters are drawn from ±0.5, its gains from 1 ± 0.5.
  static func drawn(_ configuration: GPTConfiguration, seed: UInt64) throws -> GPT {
    let model = try GPT(configuration)
    var draws = SeededGenerator(seed: seed)
    for parameter in model.parameters {
      let isGain = parameter.shape.count == 1 && parameter.name.hasSuffix(".weight")
      let centre: Float = isGain ? 1 : 0
      parameter.table.withMutableSpan { span in
        for i in 0..<span.count {
          span[i] = centre + Float.random(in: -0.5...0.5, using: &draws)
        }
      }
    }
    return model
  }

  /// The oracle with these parameters.
  var reference: ReferenceGPT {
    get throws {
      let positions = try #require(
        ReferenceGPT.Positions(rawValue: configuration.positions.rawValue))
      return ReferenceGPT(
        vocabulary: configuration.vocabulary, dim: configuration.dim, heads: configuration.heads,
        layers: configuration.layers, positions: positions,
        isCausal: configuration.direction == .causal, isTied: configuration.head == .tied,
        parameters: Dictionary(
          uniqueKeysWithValues: parameters.map { ($0.name, $0.values.map(Double.init)) }))
    }
  }

  /// A copy of all gradients, by name.
  var gradientValues: [String: [Float]] {
    Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.gradientValues) })
  }

  /// How far a pass's results may be from exact ones, in parts of the largest element.
  ///
  /// A value of the longest path is rounded once for each term of the sums that it goes through: two
  /// normalisations (each a mean, a variance and 8 steps), six products, a softmax (T and 8 steps) and
  /// GELU (16) a block, the last normalisation, the head's product and the softmax of V. Backward
  /// goes through each product and sum once more, and adds up B·T tokens. Roundings are as good as
  /// independent, so that n of them add up to the root of n, each at most 2⁻²⁴; four times that
  /// leaves room for values that are larger on the way than in the end.
  func bound(batch: Int, context: Int) -> Double {
    let (dim, inner) = (configuration.dim, configuration.innerDim)
    let block =
      2 * (2 * dim + 8) + 3 * dim + inner + configuration.headDim + 2 * context + 8 + 16
    let pass =
      configuration.layers * block + 2 * dim + 8 + dim + configuration.vocabulary
    return 4 * Double(2 * pass + batch * context).squareRoot() * 0x1p-24
  }
}

extension Parameter {
  /// A copy of the values.
  var values: [Float] {
    let table = table
    return (0..<table.rows * table.dim).map { table.span[$0] }
  }

  /// A copy of the gradient.
  var gradientValues: [Float] { unsafe Array(gradient.unsafeBuffer) }
}

/// Ids, targets and the sizes of a pass.
struct GPTBatch {
  var ids: [Int32]
  var targets: [Int32]
  var batch: Int
  var context: Int

  init(_ configuration: GPTConfiguration, batch: Int, context: Int, seed: UInt64) {
    var draws = SeededGenerator(seed: seed)
    ids = draws.ids(batch * context, below: configuration.vocabulary)
    targets = draws.ids(batch * context, below: configuration.vocabulary)
    self.batch = batch
    self.context = context
  }

  /// Some of the sequences.
  func sequences(_ range: Range<Int>) -> GPTBatch {
    var part = self
    part.ids = Array(ids[range.lowerBound * context..<range.upperBound * context])
    part.targets = Array(targets[range.lowerBound * context..<range.upperBound * context])
    part.batch = range.count
    return part
  }

  /// Loss and gradients of `model`, in its parameters.
  func gradients(
    of model: GPT, weight: Float = 1, _ writing: GradientWriting = .overwrite,
    in workspace: GPTWorkspace
  ) throws -> Double {
    try model.gradients(
      ids.span, targets: targets.span, batch: batch, context: context, weight: weight, writing,
      in: workspace)
  }

  /// The oracle's pass.
  func run(_ reference: ReferenceGPT) -> ReferenceGPT.Output {
    reference.run(ids.map(Int.init), targets: targets.map(Int.init), context: context)
  }
}
