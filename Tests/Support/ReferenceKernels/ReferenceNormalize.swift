// The fused layer's plain loops: once in Float with the stated order of summation, whose bits every
// kernel has, and once in any precision, with its backward, for bounds and for differences.

/// What the oracle divides rows by.
public enum ReferenceNorm: Sendable {
  case none
  case layer
  case rootMeanSquare
}

extension Reference {
  /// The sum of 32 lanes: lane l adds elements l, l + 32, ...; then the upper half of the lanes is
  /// added to the lower until one is left.
  public static func laneSum(_ values: [Float]) -> Float {
    var lanes = [Float](repeating: 0, count: 32)
    for (i, value) in values.enumerated() { lanes[i % 32] += value }
    while lanes.count > 1 {
      let half = lanes.count / 2
      for k in 0..<half { lanes[k] += lanes[k + half] }
      lanes.removeLast(half)
    }
    return lanes[0]
  }

  /// The fused layer's output from the sums `x`, shape `[N, dim]`, in Float to the bit.
  ///
  /// - Parameters:
  ///   - beta: Shape `[dim]`; nil adds none.
  ///   - kept: Which elements dropout keeps; nil for no dropout.
  public static func normalize(
    _ x: [Float], _ norm: ReferenceNorm, gamma: [Float], beta: [Float]?, epsilon: Float,
    kept: [Bool]?, dropoutScale: Float, dim: Int
  ) -> [Float] {
    var output = x
    for start in stride(from: 0, to: x.count, by: dim) {
      let row = Array(x[start..<start + dim])
      let mean = norm == .layer ? laneSum(row) / Float(dim) : 0
      let centred = norm == .layer ? row.map { $0 - mean } : row
      let reciprocal =
        norm == .none
        ? 1 : 1 / (laneSum(centred.map { $0 * $0 }) / Float(dim) + epsilon).squareRoot()
      for i in 0..<dim {
        var y = row[i]
        if norm != .none {
          y = centred[i] * reciprocal
          y = y * gamma[i]
          if let beta { y = y + beta[i] }
        }
        if let kept { y = kept[start + i] ? y * dropoutScale : 0 }
        output[start + i] = y
      }
    }
    return output
  }

  /// The same in Double, in any order.
  public static func normalize(
    _ x: [Double], _ norm: ReferenceNorm, gamma: [Double], beta: [Double]?, epsilon: Double,
    kept: [Bool]?, dropoutScale: Double, dim: Int
  ) -> [Double] {
    var output = x
    for start in stride(from: 0, to: x.count, by: dim) {
      let row = x[start..<start + dim]
      let mean = norm == .layer ? row.reduce(0, +) / Double(dim) : 0
      let square = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(dim)
      let reciprocal = norm == .none ? 1 : 1 / (square + epsilon).squareRoot()
      for i in 0..<dim {
        var y = x[start + i]
        if norm != .none { y = (y - mean) * reciprocal * gamma[i] + (beta?[i] ?? 0) }
        if let kept { y = kept[start + i] ? y * dropoutScale : 0 }
        output[start + i] = y
      }
    }
    return output
  }
}
