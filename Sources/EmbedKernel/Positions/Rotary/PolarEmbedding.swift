// PoPE: Gopalakrishnan et al., "Decoupling the 'What' and 'Where' With Polar Coordinate Positional
// Embeddings", 2025, in x-transformers' form: an element's size is softplus of its value, and its
// angle is set by the position alone, with a learned phase on the keys.
//
// B batch, H heads, T context, D head dim. Outputs have 2D floats a head: D cosines, D sines.

/// Polar positions with a learned phase for each head and element.
public final class PolarEmbedding: Sendable {
  /// The number of floats of a head's vector before positions are added, D.
  public let headDim: Int
  /// The number of heads that have phases.
  public let heads: Int
  /// Phases of the keys, shape `[heads, headDim]`, trained; values outside -2 pi...0 are taken as
  /// the nearer end and get no gradient.
  public let phases: EmbeddingTable

  private let state: RotaryState

  /// Makes an embedding with phases 0.
  ///
  /// - Parameter base: The ratio of the longest to the shortest wavelength:
  ///   frequency j is base^(-j/D).
  /// - Throws: `invalidSize`, `invalidValue`, `outOfMemory`.
  public init(headDim: Int, heads: Int, base: Double = 10_000) throws(EmbedError) {
    try requirePositive("base", base)
    phases = try EmbeddingTable(rows: heads, dim: headDim)
    self.headDim = headDim
    self.heads = heads
    let radians = (0..<headDim).map { power(base, -Double($0) / Double(headDim)) }
    state = try RotaryState(RotaryFrequencies(radians), tableBytes: 256 << 20)
  }

  /// Places queries or keys.
  ///
  ///     size = ln(1 + exp(input[j])), angle = position * frequency[j] (+ phase[h, j] for keys)
  ///     output[j] = size * cos(angle), output[D + j] = size * sin(angle)
  ///
  /// - Parameters:
  ///   - input: Shape as `shape` says, with D floats a head.
  ///   - output: The same with 2D floats a head.
  /// - Throws: `EmbedError`, before anything is written. Allocates nothing but keys' phases.
  public func forward(
    _ input: Span<Float>, shape: RotaryShape, at place: PositionIDs = .sequential(),
    as role: RotaryRole, into output: inout MutableSpan<Float>
  ) throws(EmbedError) {
    try check(input.count, output.count, shape, role)
    let turns = PhaseTurns(self, role)
    try eachVector(shape, place) { vector, head, row in
      for j in 0..<headDim {
        let size = softplus(Double(input[vector * headDim + j]))
        let (cosine, sine) = turns.apply(row(j), head, j)
        output[vector * 2 * headDim + j] = Float(size * cosine)
        output[vector * 2 * headDim + headDim + j] = Float(size * sine)
      }
    }
  }

  /// Takes an output gradient to the input gradient; for keys it adds to the phases' gradient.
  ///
  /// - Parameters:
  ///   - input: What `forward` was given.
  ///   - outputGradient: The output's shape.
  ///   - inputGradient: The input's shape.
  ///   - phaseGradient: Shape `[heads, headDim]`; left as it is for queries.
  /// - Throws: `EmbedError`, before anything is written. Sums in Double in one fixed order.
  public func backward(
    _ input: Span<Float>, shape: RotaryShape, at place: PositionIDs = .sequential(),
    as role: RotaryRole, outputGradient: Span<Float>, into inputGradient: inout MutableSpan<Float>,
    phaseGradient: inout MutableSpan<Float>
  ) throws(EmbedError) {
    try check(input.count, outputGradient.count, shape, role)
    for (argument, actual, expected) in [
      ("input gradient", inputGradient.count, input.count),
      ("phase gradient", phaseGradient.count, heads * headDim),
    ] where actual != expected {
      throw .wrongElementCount(
        argument: argument, expected: expected,
        shape: expected == input.count ? shape.dimensions : [heads, headDim], actual: actual)
    }
    let turns = PhaseTurns(self, role)
    var sums = [Double](repeating: 0, count: role == .keys ? heads * headDim : 0)
    try eachVector(shape, place) { vector, head, row in
      for j in 0..<headDim {
        let value = Double(input[vector * headDim + j])
        let (cosine, sine) = turns.apply(row(j), head, j)
        let along = Double(outputGradient[vector * 2 * headDim + j])
        let across = Double(outputGradient[vector * 2 * headDim + headDim + j])
        // The slope of softplus is the logistic function.
        inputGradient[vector * headDim + j] = Float(
          (along * cosine + across * sine) / (1 + exponential(-value)))
        if role == .keys {
          sums[head * headDim + j] += softplus(value) * (across * cosine - along * sine)
        }
      }
    }
    let isTrained = phases.values.map { PhaseTurns.range.contains(Double($0)) }
    for i in sums.indices where isTrained[i] { phaseGradient[i] += Float(sums[i]) }
  }

  private func check(
    _ input: Int, _ output: Int, _ shape: RotaryShape, _ role: RotaryRole
  ) throws(EmbedError) {
    try RotaryEmbedding.check(input, shape, headDim: headDim, "input")
    var doubled = shape
    doubled.headDim = try elementCount("output", headDim, 2)
    try RotaryEmbedding.check(output, doubled, headDim: 2 * headDim, "output")
    guard role == .queries || shape.heads == heads else {
      throw .invalidSize(
        argument: "heads", value: shape.heads, expected: "the phases', \(heads), for keys")
    }
  }

  /// Calls `body` for each vector in token order with its cosines and sines.
  private func eachVector(
    _ shape: RotaryShape, _ place: PositionIDs,
    _ body: (_ vector: Int, _ head: Int, _ row: (Int) -> (cosine: Float, sine: Float)) -> Void
  ) throws(EmbedError) {
    let maximum = Int(Int32.max) + 1
    if try !place.check(batch: shape.batch, context: shape.context, maximum: maximum) {
      throw place.overflow(batch: shape.batch, context: shape.context, maximum: maximum)
    }
    try state.reserve(
      place.highestPosition(batch: shape.batch, context: shape.context).map { $0 + 1 } ?? 0)
    let rows = state.rows
    place.withPlaces(context: shape.context) { places in
      places.forEachRun(context: shape.context, in: 0..<shape.tokens) { start, count, position in
        for token in start..<start + count {
          let (sequence, column) = token.quotientAndRemainder(dividingBy: shape.context)
          for head in 0..<shape.heads {
            let vector =
              (sequence * shape.sequenceStride + column * shape.tokenStride
                + head * shape.headStride) / headDim
            body(vector, head) { rows.known($0, position + token - start) }
          }
        }
      }
    }
  }

  /// ln(1 + exp(x)) without overflow.
  private func softplus(_ x: Double) -> Double {
    max(x, 0) + logarithmOfOnePlus(exponential(-abs(x)))
  }
}

/// The turn by each key's phase; none for queries.
private struct PhaseTurns {
  static let range = -2 * Double.pi...0
  private var cosines: [Double] = []
  private var sines: [Double] = []
  private let dim: Int

  init(_ embedding: PolarEmbedding, _ role: RotaryRole) {
    dim = embedding.headDim
    guard role == .keys else { return }
    for value in embedding.phases.values {
      let phase = min(max(Double(value), Self.range.lowerBound), Self.range.upperBound)
      cosines.append(cosine(phase))
      sines.append(sine(phase))
    }
  }

  /// The cosine and sine of an angle and the phase together.
  func apply(
    _ row: (cosine: Float, sine: Float), _ head: Int, _ j: Int
  ) -> (cosine: Double, sine: Double) {
    let (c, s) = (Double(row.cosine), Double(row.sine))
    guard !cosines.isEmpty else { return (c, s) }
    let (phaseC, phaseS) = (cosines[head * dim + j], sines[head * dim + j])
    return (c * phaseC - s * phaseS, s * phaseC + c * phaseS)
  }
}
