// PoPE: Gopalakrishnan et al., "Decoupling the 'What' and 'Where' With Polar Coordinate Positional
// Embeddings", 2025, in x-transformers' form: an element's size is softplus of its value, and its
// angle is set by the position alone, with a learned phase on the keys.
//
// B batch, H heads, T context, D head dim. Outputs have 2D floats a head: D cosines, D sines.

public import EmbedKernel

/// Polar positions with a learned phase for each head and element.
public final class PolarEmbedding: Sendable {
  /// The number of floats of a head's vector before positions are added, D.
  public let headDim: Int
  /// The number of heads that have phases.
  public let heads: Int
  /// Phases of the keys, shape `[heads, headDim]`, trained; values outside -2 pi...0 are taken as
  /// the nearer end and get no gradient.
  public let phases: EmbeddingTable<Float>

  private let state: RotaryState

  /// Makes an embedding with phases 0.
  ///
  /// - Parameter base: The ratio of the longest to the shortest wavelength:
  ///   frequency j is base^(-j/D).
  /// - Throws: `invalidSize`, `invalidValue`, `outOfMemory`.
  public init(headDim: Int, heads: Int, base: Double = 10_000) throws(EmbedError) {
    try requirePositive("base", base)
    phases = try EmbeddingTable<Float>(rows: heads, dim: headDim)
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
  /// - Throws: `EmbedError`, before anything is written. Allocates nothing but keys' phases. The
  ///   same bits for every number of threads.
  public func forward(
    _ input: Span<Float>, shape: RotaryShape, at place: PositionIDs = .sequential(),
    as role: RotaryRole, into output: inout MutableSpan<Float>, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try check(input.count, output.count, shape, role)
    let turns = try PhaseTurns(self, role)
    let threads = try kernels.threads(shape)
    try reserve(shape, place)
    guard let x = unsafe input.withUnsafeBufferPointer({ $0.baseAddress }),
      let y = unsafe output.withUnsafeMutableBufferPointer({ $0.baseAddress })
    else { return }
    state.withRows { rows in
      place.withPlaces(context: shape.context) { places in
        let call = unsafe PolarCall(shape: shape, places: places, rows: rows, turns: turns.values)
        unsafe PolarForward(call: call, input: x, output: y).split(shape.tokens, threads)
      }
    }
    withExtendedLifetime(turns) {}
  }

  /// Takes an output gradient to the input gradient; for keys it adds to the phases' gradient.
  ///
  /// - Parameters:
  ///   - input: What `forward` was given.
  ///   - outputGradient: The output's shape.
  ///   - inputGradient: The input's shape.
  ///   - phaseGradient: Shape `[heads, headDim]`; left as it is for queries.
  /// - Throws: `EmbedError`, before anything is written. Sums in Double in one fixed order, so it
  ///   is the same for every number of threads. Allocates those sums, at most 64 a phase.
  public func backward(
    _ input: Span<Float>, shape: RotaryShape, at place: PositionIDs = .sequential(),
    as role: RotaryRole, outputGradient: Span<Float>, into inputGradient: inout MutableSpan<Float>,
    phaseGradient: inout MutableSpan<Float>, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try check(input.count, outputGradient.count, shape, role)
    let width = heads * headDim
    for (argument, actual, expected, dimensions) in [
      ("input gradient", inputGradient.count, input.count, shape.dimensions),
      ("phase gradient", phaseGradient.count, width, [heads, headDim]),
    ] where actual != expected {
      throw .wrongElementCount(
        argument: argument, expected: expected, shape: dimensions, actual: actual)
    }
    let turns = try PhaseTurns(self, role)
    let threads = try kernels.threads(shape)
    let chunks = TokenChunks(tokens: shape.tokens)
    let sums = try AlignedBuffer<Double>(count: role == .keys ? chunks.count * width : 0)
    try reserve(shape, place)
    guard let x = unsafe input.withUnsafeBufferPointer({ $0.baseAddress }),
      let dy = unsafe outputGradient.withUnsafeBufferPointer({ $0.baseAddress }),
      let dx = unsafe inputGradient.withUnsafeMutableBufferPointer({ $0.baseAddress })
    else { return }
    state.withRows { rows in
      place.withPlaces(context: shape.context) { places in
        let call = unsafe PolarCall(shape: shape, places: places, rows: rows, turns: turns.values)
        let work = unsafe PolarBackward(
          call: call, input: x, outputGradient: dy, inputGradient: dx, chunks: chunks,
          sums: role == .keys ? sums.base : nil)
        work.split(chunks.count, threads)
      }
    }
    withExtendedLifetime(turns) {}
    guard role == .keys else { return }
    let total = chunks.total(sums, width: width)
    let phases = phases.values
    for i in 0..<width where PhaseTurns.range.contains(Double(phases[i])) {
      phaseGradient[i] += Float(total[i])
    }
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

  /// Makes rows for the call's positions.
  private func reserve(_ shape: RotaryShape, _ place: PositionIDs) throws(EmbedError) {
    let maximum = Int(Int32.max) + 1
    try place.requireBelow(maximum, batch: shape.batch, context: shape.context)
    try state.reserve(place.length(context: shape.context, in: 0..<shape.tokens))
  }
}
