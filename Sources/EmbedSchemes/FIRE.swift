// FIRE: a small network maps a distance, taken in proportion to how far the query stands, to a bias
// for each head. Li et al., "Functional Interpolation for Relative Positions Improves Long Context
// Transformers", 2024.
//
// H heads, W width, i query position, n = i - key position,
// x = ln(c·n + 1) / (ln(c·max(i, L) + 1) + epsilon).
//
// The network is linear between the W places where one of its units starts or stops, so a bias costs
// one product and sum, not W of them, and its gradient two sums.

internal import CSystem
public import EmbedKernel

/// The bias w2·relu(w1·x + b1) + b2. A key after its query is taken at distance 0: FIRE is for causal
/// attention.
@safe public final class FIRE: TrainedBias, @unchecked Sendable {
  /// The parameters in order: w1 `[width]`, b1 `[width]`, w2 `[heads, width]`, b2 `[heads]`, c, and
  /// the factor of the initial threshold L.
  public let parameters: EmbeddingTable<Float>
  /// The units of the hidden layer.
  public let width: Int
  /// L before its trained factor.
  public let initialThreshold: Double
  /// Added to the logarithm that x is divided by.
  public let epsilon: Double

  private let headCount: Int
  /// Rising values of x where the next piece of the network starts; the first is -infinity.
  private var starts: [Double] = []
  /// Slope and height of each piece, `[heads, pieces]`.
  private var slopes: [Double] = []
  private var heights: [Double] = []
  /// The units that are on in each piece, `[pieces, width]`.
  private var isOn: [Bool] = []

  /// A network over `parameters`, shape `[1, 2·width + heads·width + heads + 2]`, which is shared;
  /// `refresh()` after training moved it.
  ///
  /// - Throws: `invalidSize` for sizes below 1 or another number of parameters; `invalidValue` for a
  ///   threshold or epsilon that is not finite, or parameters that are not.
  public init(
    heads: Int, width: Int = 32, initialThreshold: Double = 512, epsilon: Double = 1e-6,
    parameters: EmbeddingTable<Float>
  ) throws(EmbedError) {
    for (name, size) in [("heads", heads), ("width", width)] where size < 1 || size > 1 << 20 {
      throw .invalidSize(argument: name, value: size, expected: "1...\(1 << 20)")
    }
    let count = Self.parameterCount(heads: heads, width: width)
    guard parameters.rows == 1, parameters.dim == count else {
      throw .wrongElementCount(
        argument: "FIRE's parameters", expected: count, shape: [1, count],
        actual: parameters.rows * parameters.dim)
    }
    guard initialThreshold.isFinite, initialThreshold > 0 else {
      throw .invalidValue(
        argument: "initial threshold", value: initialThreshold,
        expected: "a finite number above 0")
    }
    guard epsilon.isFinite, epsilon >= 0 else {
      throw .invalidValue(
        argument: "epsilon", value: epsilon, expected: "a finite number, 0 or more")
    }
    headCount = heads
    self.width = width
    self.initialThreshold = initialThreshold
    self.epsilon = epsilon
    self.parameters = parameters
    try refresh()
  }

  /// The number of parameters of a network.
  public static func parameterCount(heads: Int, width: Int) -> Int {
    2 * width + heads * width + heads + 2
  }

  /// Finds the network's pieces again, after training moved the parameters. No other thread may use
  /// the bias meanwhile.
  ///
  /// - Throws: `invalidValue` for a parameter that is not finite, or c of 0.
  public func refresh() throws(EmbedError) {
    for i in 0..<parameterCount where !parameters[0, i].isFinite {
      throw .invalidValue(
        argument: "FIRE's parameter \(i)", value: Double(parameters[0, i]),
        expected: "a finite number")
    }
    guard c > 0 else {
      throw .invalidValue(argument: "FIRE's c", value: c, expected: "a number other than 0")
    }
    let borders = (0..<width).compactMap { w in w1(w) == 0 ? nil : -b1(w) / w1(w) }.sorted()
    starts = [-.infinity] + borders
    isOn.removeAll(keepingCapacity: true)
    slopes = [Double](repeating: 0, count: headCount * starts.count)
    heights = slopes
    for piece in 0..<starts.count {
      let low = piece == 0 ? (starts.count > 1 ? starts[1] - 2 : -1) : starts[piece]
      let high = piece + 1 < starts.count ? starts[piece + 1] : starts[piece] + 2
      let middle = starts.count == 1 ? 0 : low + (high - low) / 2
      for w in 0..<width {
        let on = w1(w) * middle + b1(w) > 0
        isOn.append(on)
        guard on else { continue }
        for head in 0..<headCount {
          slopes[head * starts.count + piece] += w2(head, w) * w1(w)
          heights[head * starts.count + piece] += w2(head, w) * b1(w)
        }
      }
      for head in 0..<headCount { heights[head * starts.count + piece] += b2(head) }
    }
  }

  private func parameter(_ i: Int) -> Double { Double(parameters[0, i]) }
  private func w1(_ w: Int) -> Double { parameter(w) }
  private func b1(_ w: Int) -> Double { parameter(width + w) }
  private func w2(_ head: Int, _ w: Int) -> Double { parameter((2 + head) * width + w) }
  private func b2(_ head: Int) -> Double { parameter((2 + headCount) * width + head) }
  private var c: Double { abs(parameter(parameterCount - 2)) }
  private var threshold: Double { abs(parameter(parameterCount - 1) * initialThreshold) }

  /// `fire`.
  public var name: String { "fire" }
  /// As many as the network has outputs.
  public var heads: Int? { headCount }
  /// All of the network's, c, and the threshold's factor.
  public var parameterCount: Int { Self.parameterCount(heads: headCount, width: width) }

  private func scale(_ query: Int) -> Double {
    log1p(c * max(Double(query), threshold)) + epsilon
  }

  /// The network itself, unit by unit.
  public func value(head: Int, query: Int, key: Int) -> Double {
    let x = log1p(c * Double(max(0, query - key))) / scale(query)
    var sum = b2(head)
    for w in 0..<width { sum += w2(head, w) * max(0, w1(w) * x + b1(w)) }
    return sum
  }

  /// Calls `body(column, x, piece)` for the columns of a row; x falls from key to key, and so do the
  /// pieces.
  @inline(__always)
  private func forEachColumn(
    _ query: Int, _ keys: Range<Int>, _ body: (_ column: Int, _ x: Double, _ piece: Int) -> Void
  ) {
    let (c, scale) = (c, scale(query))
    var piece = starts.count - 1
    for (column, key) in keys.enumerated() {
      let x = log1p(c * Double(max(0, query - key))) / scale
      while x < starts[piece] { piece -= 1 }
      body(column, x, piece)
    }
  }

  /// Adds slope times x and height of the piece that x is in, rounded once.
  public func add(_ block: BiasBlock) {
    let first = block.head * starts.count
    for (row, query) in block.queries.enumerated() {
      let logits = unsafe block.logits(row)
      forEachColumn(query, block.keys) { column, x, piece in
        let value = slopes[first + piece] * x + heights[first + piece]
        unsafe logits[column] += Float(value)
      }
    }
  }

  /// For each piece the sums of gradient and of gradient times x, then the slopes of c and of the
  /// threshold.
  public func sumCount(_ reach: BiasReach) -> Int { 2 * starts.count + 2 }

  /// Sums the gradient by piece.
  public func addGradient(_ block: BiasGradientBlock) {
    let (c, threshold) = (c, threshold)
    let first = block.head * starts.count
    for (row, query) in block.queries.enumerated() {
      let gradient = unsafe block.gradient(row)
      let keys = block.keys.lowerBound..<block.keys.lowerBound + block.visible(row)
      let scale = scale(query)
      let far = max(Double(query), threshold)
      var (slopeC, slopeThreshold) = (0.0, 0.0)
      forEachColumn(query, keys) { column, x, piece in
        let g = unsafe Double(gradient[column])
        unsafe block.sums[2 * piece] += Float(g)
        unsafe block.sums[2 * piece + 1] += Float(g * x)
        let n = Double(max(0, query - keys.lowerBound - column))
        let slope = g * slopes[first + piece] / scale
        slopeC += slope * (n / (c * n + 1) - x * far / (c * far + 1))
        if threshold > Double(query) { slopeThreshold -= slope * x * c / (c * far + 1) }
      }
      unsafe block.sums[2 * starts.count] += Float(slopeC)
      unsafe block.sums[2 * starts.count + 1] += Float(slopeThreshold)
    }
  }

  /// Gives each unit the sums of the pieces it is on in.
  public func reduce(
    _ sums: UnsafeBufferPointer<Float>, head: Int, reach: BiasReach,
    into gradient: UnsafeMutableBufferPointer<Float>
  ) {
    var total = 0.0
    for piece in 0..<starts.count { unsafe total += Double(sums[2 * piece]) }
    unsafe gradient[(2 + headCount) * width + head] += Float(total)
    for w in 0..<width {
      var (g, gx) = (0.0, 0.0)
      for piece in 0..<starts.count where isOn[piece * width + w] {
        unsafe g += Double(sums[2 * piece])
        unsafe gx += Double(sums[2 * piece + 1])
      }
      unsafe gradient[(2 + head) * width + w] += Float(w1(w) * gx + b1(w) * g)
      unsafe gradient[w] += Float(w2(head, w) * gx)
      unsafe gradient[width + w] += Float(w2(head, w) * g)
    }
    let (c, factor) = (parameter(parameterCount - 2), parameter(parameterCount - 1))
    let signs = (c < 0 ? -1.0 : 1, factor < 0 ? -initialThreshold : initialThreshold)
    let slopes = unsafe (
      Double(sums[2 * starts.count]), Double(sums[2 * starts.count + 1])
    )
    unsafe gradient[parameterCount - 2] += Float(slopes.0 * signs.0)
    unsafe gradient[parameterCount - 1] += Float(slopes.1 * signs.1)
  }
}
