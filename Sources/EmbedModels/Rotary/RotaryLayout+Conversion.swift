// Taking a checkpoint from one layout of pairs to the other: the same rotation with the rows of the
// query and key projections in another order.
//
// H heads, D head dim, r rotated elements.

public import EmbedKernel

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
      case .halves: 2 * (i % pairs) + i / pairs
      case .interleaved: i / 2 + (i % 2) * pairs
      }
    }
  }

  /// Reorders the rows of a query or key projection, or its bias, for the other layout.
  ///
  /// Queries and keys must both be converted; their products stay the same. So must what scales
  /// their elements, such as the weight of a norm over each head, `[headDim]`. Projection weights
  /// stored `[inputs, H·D]` are not rows of heads: transpose them first.
  ///
  /// - Parameters:
  ///   - weights: Shape `[heads * headDim, rowLength]`, of any element type.
  ///   - rowLength: The number of inputs; 1 for a bias.
  ///   - output: The same shape, apart from `weights`.
  /// - Throws: `EmbedError`, before anything is written. Allocates `headDim` numbers.
  @inlinable
  public func convertProjection<Element: BitwiseCopyable>(
    _ weights: Span<Element>, heads: Int, headDim: Int, rotaryDim: Int? = nil, rowLength: Int,
    to target: RotaryLayout, into output: inout MutableSpan<Element>
  ) throws(EmbedError) {
    try unsafe convertRows(
      weights.withUnsafeBytes { unsafe $0 }, output.withUnsafeMutableBytes { unsafe $0 },
      (weights.count, output.count), elementBytes: MemoryLayout<Element>.stride, heads: heads,
      headDim: headDim, rotaryDim: rotaryDim, rowLength: rowLength, to: target)
  }

  /// The same on bytes.
  @usableFromInline
  package func convertRows(
    _ weights: UnsafeRawBufferPointer, _ output: UnsafeMutableRawBufferPointer,
    _ counts: (weights: Int, output: Int), elementBytes: Int, heads: Int, headDim: Int,
    rotaryDim: Int?, rowLength: Int, to target: RotaryLayout
  ) throws(EmbedError) {
    let permutation = try permutation(to: target, headDim: headDim, rotaryDim: rotaryDim)
    for (argument, value) in [("heads", heads), ("rowLength", rowLength)] where value < 0 {
      throw .invalidSize(argument: argument, value: value, expected: "0 or more")
    }
    let count = try elementCount("projection", heads, headDim, rowLength)
    for (argument, actual) in [("weights", counts.weights), ("output", counts.output)]
    where actual != count {
      throw .wrongElementCount(
        argument: argument, expected: count, shape: [heads * headDim, rowLength], actual: actual)
    }
    if unsafe Memory(output.baseAddress, output.count)
      .overlaps(Memory(weights.baseAddress, weights.count))
    {
      throw .overlappingMemory(argument: "weights")
    }
    guard let from = weights.baseAddress, let to = output.baseAddress, count > 0 else { return }
    let bytes = rowLength * elementBytes
    for head in 0..<heads {
      for row in 0..<headDim {
        unsafe (to + (head * headDim + row) * bytes).copyMemory(
          from: from + (head * headDim + permutation[row]) * bytes, byteCount: bytes)
      }
    }
  }
}
