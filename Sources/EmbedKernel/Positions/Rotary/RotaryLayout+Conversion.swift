// Taking a checkpoint from one layout of pairs to the other: the same rotation with the rows of the
// query and key projections in another order.
//
// H heads, D head dim, r rotated elements.

extension RotaryLayout {
  /// Where each element of a head goes when a tensor changes its layout: element `i` of the result
  /// is element `permutation[i]` of the source.
  ///
  /// - Throws: `invalidSize` for an odd rotary dim or one past the head dim.
  public func permutation(
    to target: RotaryLayout, headDim: Int, rotaryDim: Int? = nil
  ) throws(EmbedError) -> [Int] {
    let dim = rotaryDim ?? headDim
    guard headDim > 0 else {
      throw .invalidSize(argument: "headDim", value: headDim, expected: "1 or more")
    }
    guard dim > 0, dim <= headDim, dim.isMultiple(of: 2) else {
      throw .invalidSize(
        argument: "rotaryDim", value: dim, expected: "an even number of 2...\(headDim)")
    }
    let pairs = dim / 2
    return (0..<headDim).map { i in
      guard i < dim, self != target else { return i }
      // Both layouts number pairs alike; find the pair and its element, then where the source has it.
      return switch target {
      case .half: 2 * (i % pairs) + i / pairs
      case .interleaved: i / 2 + (i % 2) * pairs
      }
    }
  }

  /// Reorders the rows of a query or key projection, or its bias, for the other layout.
  ///
  /// Queries and keys must both be converted; their products stay the same. Projection weights
  /// stored `[inputs, H·D]` are not rows of heads: transpose them first.
  ///
  /// - Parameters:
  ///   - weights: Shape `[heads * headDim, rowLength]`.
  ///   - rowLength: The number of inputs; 1 for a bias.
  ///   - output: The same shape, apart from `weights`.
  /// - Throws: `EmbedError`, before anything is written. Allocates `headDim` numbers.
  public func convertProjection(
    _ weights: Span<Float>, heads: Int, headDim: Int, rotaryDim: Int? = nil, rowLength: Int,
    to target: RotaryLayout, into output: inout MutableSpan<Float>
  ) throws(EmbedError) {
    let permutation = try permutation(to: target, headDim: headDim, rotaryDim: rotaryDim)
    for (argument, value) in [("heads", heads), ("rowLength", rowLength)] where value < 0 {
      throw .invalidSize(argument: argument, value: value, expected: "0 or more")
    }
    let count = try elementCount("projection", heads, headDim, rowLength)
    for (argument, actual) in [("weights", weights.count), ("output", output.count)]
    where actual != count {
      throw .wrongElementCount(
        argument: argument, expected: count, shape: [heads * headDim, rowLength], actual: actual)
    }
    for head in 0..<heads {
      for row in 0..<headDim {
        let (to, from) = (head * headDim + row, head * headDim + permutation[row])
        for i in 0..<rowLength { output[to * rowLength + i] = weights[from * rowLength + i] }
      }
    }
  }

  /// The name under which a checkpoint's metadata holds the layout.
  public static let metadataKey = "rotary_layout"

  /// What a checkpoint's metadata says under `metadataKey`.
  ///
  /// - Throws: `invalidField` for another value than a layout's name; nil where nothing is said.
  public init?(metadata value: String?) throws(EmbedError) {
    guard let value else { return nil }
    guard let layout = RotaryLayout(rawValue: value) else {
      throw .invalidField(
        field: Self.metadataKey, found: "\"\(value)\"", expected: "half or interleaved")
    }
    self = layout
  }
}
