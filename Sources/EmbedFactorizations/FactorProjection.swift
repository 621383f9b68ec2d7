// The second factor of a factorised table: vectors of the narrow width r taken to the model's width D
// by one matrix product, as in ALBERT (Lan et al., 2019).
//
// N rows, r narrow width, D wide width.

public import EmbedKernel

/// `wide = narrow * matrix + bias`, and the way back.
public final class FactorProjection: Sendable {
  /// The matrix, shape `[narrow, wide]`: the transpose of a PyTorch `Linear`'s weight.
  public let matrix: EmbeddingTable<Float>

  /// The bias, shape `[1, wide]`, or nil where none is added.
  public let bias: EmbeddingTable<Float>?

  /// The width of the factorised table's rows.
  public var narrow: Int { matrix.rows }

  /// The model's width.
  public var wide: Int { matrix.dim }

  /// Takes parameters that are already filled, and shares them.
  ///
  /// - Throws: `invalidSize` for a bias of more than one row or of another width.
  public init(matrix: EmbeddingTable<Float>, bias: EmbeddingTable<Float>? = nil) throws(EmbedError)
  {
    if let bias {
      guard bias.rows == 1 else {
        throw .invalidSize(argument: "rows of the bias", value: bias.rows, expected: "1")
      }
      guard bias.dim == matrix.dim else {
        throw .invalidSize(
          argument: "dim of the bias", value: bias.dim, expected: "the matrix's, \(matrix.dim)")
      }
    }
    self.matrix = matrix
    self.bias = bias
  }

  /// wide = narrow * matrix + bias
  func forward(_ narrow: MatrixView, into wide: MutableMatrixView) {
    if let bias {
      for row in 0..<wide.view.rows {
        unsafe (wide.base + row * self.wide).update(
          from: bias.unsafeBuffer.baseAddress.unsafelyUnwrapped, count: self.wide)
      }
    }
    MatrixProduct.multiply(
      narrow, MatrixView("matrix", matrix), bias == nil ? .overwrite : .add, wide)
  }

  /// narrowGradient = wideGradient * matrix^T, and what the parameters' gradients gain.
  func backward(
    _ wideGradient: MatrixView, narrow: MatrixView, narrowGradient: MutableMatrixView,
    _ gradient: inout FactorGradient
  ) throws(EmbedError) {
    let target = try unsafe MutableMatrixView(
      "matrix gradient", gradient.matrix.unsafeBuffer, self.narrow, wide)
    MatrixProduct.multiply(
      wideGradient, MatrixView("matrix", matrix).transposed, .overwrite, narrowGradient)
    MatrixProduct.multiply(narrow.transposed, wideGradient, .add, target)
    guard bias != nil else { return }
    // Bound once: adding to an element of `gradient.bias.unsafeBuffer` itself, a property of a value that
    // cannot be copied, crashes Swift 6.3.1 where it compiles for the thread sanitizer.
    let sums = unsafe gradient.bias.unsafeBuffer
    for row in 0..<wideGradient.rows {
      for i in 0..<wide { unsafe sums[i] += wideGradient.base[row * wide + i] }
    }
  }
}

/// The gradients of a `FactorProjection`; they add up until `removeAll()`.
public struct FactorGradient: ~Copyable {
  /// d(matrix), shape `[narrow, wide]`.
  public internal(set) var matrix: TableGradient

  /// d(bias), shape `[1, wide]`; zeros where there is no bias.
  public internal(set) var bias: TableGradient

  /// Zeros for `projection`.
  ///
  /// - Throws: `outOfMemory`.
  public init(for projection: FactorProjection) throws(EmbedError) {
    let matrix = try TableGradient(for: projection.matrix)
    let bias = try TableGradient(rows: 1, dim: projection.wide)
    self.matrix = matrix
    self.bias = bias
  }

  /// Sets all elements to 0.
  public mutating func removeAll() {
    matrix.removeAll()
    bias.removeAll()
  }
}
