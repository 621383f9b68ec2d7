// LeRoPE: rotary positions with a learned logarithm of each pair's frequency, as in Hugging Face's
// mistral_large4: theta * exp(alpha), alpha trained from 0.
//
// B batch, H heads, T context, P pairs.

public import EmbedKernel

/// A rotary embedding whose frequencies are trained.
public final class LearnedRotary: Sendable {
  /// The logarithms alpha, shape `[1, pairs]`; zeros rotate as the embedding without them does.
  /// After changing them call `refresh()`.
  public let alpha: EmbeddingTable<Float>

  /// The embedding that alpha starts from.
  public let initial: RotaryEmbedding

  private let current: Guarded<RotaryEmbedding>

  /// Starts with alpha 0.
  ///
  /// - Parameter initial: One coordinate and angles that do not depend on the length.
  /// - Throws: `EmbedError` where memory ends.
  public init(_ initial: RotaryEmbedding) throws(EmbedError) {
    self.initial = initial
    alpha = try EmbeddingTable<Float>(rows: 1, dim: initial.pairs)
    current = Guarded(initial)
  }

  /// The rotation with the present frequencies. Take it once a step: the first call after a change
  /// computes its tables anew.
  public var embedding: RotaryEmbedding { current.withLock { $0 } }

  /// Takes up a change of alpha.
  ///
  /// - Throws: `invalidValue` where a frequency is no longer finite, `outOfMemory`.
  public func refresh() throws(EmbedError) {
    let start = try initial.frequencies()
    let alpha = alpha.values
    let learned = RotaryFrequencies(
      start.radians.indices.map { start.radians[$0] * exponential(Double(alpha[$0])) },
      attentionFactor: start.attentionFactor)
    let made = try RotaryEmbedding(
      headDim: initial.headDim, rotaryDim: initial.rotaryDim, base: initial.base,
      layout: initial.layout, turn: initial.turn, scaling: FixedFrequencies(learned),
      decay: initial.decay)
    current.withLock { $0 = made }
  }

  /// Takes an output gradient to the input gradient, and adds to the gradient of alpha.
  ///
  ///     inputGradient = rotation by the negative angle
  ///     alphaGradient[i] += sum over b, h, t of
  ///       position * frequency[i] * (a * db - b * da) for input pair (a, b), its gradient (da, db)
  ///
  /// - Parameters:
  ///   - input: What was rotated, shape as `shape` says.
  ///   - outputGradient: The same shape; becomes the input gradient.
  ///   - alphaGradient: Shape `[pairs]`.
  /// - Throws: `EmbedError`, before anything is written. Sums in Double in one fixed order, so it
  ///   is the same for every number of threads. Allocates those sums, at most 64 a pair.
  public func backward(
    _ input: Span<Float>, shape: RotaryShape, at place: PositionIDs = .sequential(),
    outputGradient: inout MutableSpan<Float>, alphaGradient: inout MutableSpan<Float>,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    let embedding = embedding
    let pairs = embedding.pairs
    try embedding.check(input.count, shape, "input")
    guard alphaGradient.count == pairs else {
      throw .wrongElementCount(
        argument: "alpha gradient", expected: pairs, shape: [pairs], actual: alphaGradient.count)
    }
    let radians = try embedding.frequencies().radians
    let chunks = TokenChunks(tokens: shape.tokens)
    let sums = try AlignedBuffer<Double>(count: chunks.count * pairs)
    let threads = try kernels.threads(shape)
    try embedding.rotate(
      inPlace: &outputGradient, shape: shape, at: place, .backward, using: kernels)
    guard let x = unsafe input.withUnsafeBufferPointer({ $0.baseAddress }),
      let gradient = unsafe outputGradient.withUnsafeMutableBufferPointer({ $0.baseAddress })
    else { return }
    place.withPlaces(context: shape.context) { places in
      let work = unsafe TurnSums(
        input: x, gradient: UnsafePointer(gradient), shape: shape, places: places, pairs: pairs,
        layout: embedding.layout, chunks: chunks, sums: sums.base)
      work.split(chunks.count, threads)
    }
    let total = chunks.total(sums, width: pairs)
    let sign = embedding.turn == .forward ? 1.0 : -1.0
    for pair in 0..<pairs { alphaGradient[pair] += Float(sign * total[pair] * radians[pair]) }
  }
}

/// For each chunk and pair: the sum over tokens and heads of position * (a * db - b * da).
@safe private struct TurnSums: ParallelWork {
  let input: UnsafePointer<Float>
  let gradient: UnsafePointer<Float>
  let shape: RotaryShape
  let places: Places
  let pairs: Int
  let layout: RotaryLayout
  let chunks: TokenChunks
  let sums: UnsafeMutablePointer<Double>

  func run(_ range: Range<Int>) {
    let (step, partner) = layout == .halves ? (1, pairs) : (2, 1)
    for chunk in range {
      let sums = unsafe sums + chunk * pairs
      unsafe sums.update(repeating: 0, count: pairs)
      places.forEachRun(context: shape.context, in: chunks.range(chunk)) { start, count, position in
        for i in 0..<count {
          let place = Double(position + i)
          for head in 0..<shape.heads {
            let row = shape.vector(token: start + i, head: head)
            for pair in 0..<pairs {
              let (first, second) = (row &+ step &* pair, row &+ step &* pair &+ partner)
              let turn =
                unsafe Double(input[first]) * Double(gradient[second])
                - Double(input[second]) * Double(gradient[first])
              unsafe sums[pair] += place * turn
            }
          }
        }
      }
    }
  }
}
