// Layer normalisation (Ba et al., "Layer Normalization", 2016) and root mean square normalisation
// (Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019): their parameters.
// The arithmetic is in the kernels, fused with the embedding's.

/// A normalisation of rows, with trained gain and offset.
///
/// The parameters are tables of one row, so that any optimiser of this library steps them.
public final class Normalization: Sendable {
  /// What a row is divided by.
  public enum Kind: String, CaseIterable, Sendable {
    /// `(x - mean(x)) / sqrt(variance(x) + epsilon)`, the variance over `dim`, as in BERT.
    case layer
    /// `x / sqrt(mean(x * x) + epsilon)`, as in Llama.
    case rootMeanSquare
  }

  /// What a row is divided by.
  public let kind: Kind

  /// The gain, shape `[1, dim]`.
  public let gamma: EmbeddingTable<Float>

  /// The offset, shape `[1, dim]`, or nil where none is added.
  public let beta: EmbeddingTable<Float>?

  /// What keeps the divisor from 0.
  public let epsilon: Float

  /// The number of floats of a row.
  public var dim: Int { gamma.dim }

  /// Layer normalisation with a gain of 1 and an offset of 0.
  ///
  /// - Throws: `invalidSize`, `invalidValue` for an epsilon that is negative or not finite,
  ///   `outOfMemory`.
  public static func layer(dim: Int, epsilon: Float = 1e-5) throws(EmbedError) -> Normalization {
    try Normalization(
      .layer, gamma: ones(dim), beta: EmbeddingTable<Float>(rows: 1, dim: dim), epsilon: epsilon)
  }

  /// Root mean square normalisation with a gain of 1.
  ///
  /// - Throws: As `layer(dim:epsilon:)`.
  public static func rootMeanSquare(
    dim: Int, epsilon: Float = 1e-6
  ) throws(EmbedError) -> Normalization {
    try Normalization(.rootMeanSquare, gamma: ones(dim), beta: nil, epsilon: epsilon)
  }

  /// Takes parameters that are already filled, and shares them.
  ///
  /// - Throws: `invalidSize` for parameters of more than one row or of different dims,
  ///   `invalidValue` for an epsilon that is negative or not finite.
  public init(
    _ kind: Kind, gamma: EmbeddingTable<Float>, beta: EmbeddingTable<Float>? = nil, epsilon: Float
  ) throws(EmbedError) {
    try Self.checkOneRow("gamma", gamma)
    if let beta {
      try Self.checkOneRow("beta", beta)
      guard beta.dim == gamma.dim else {
        throw .invalidSize(
          argument: "dim of beta", value: beta.dim, expected: "gamma's, \(gamma.dim)")
      }
    }
    guard epsilon.isFinite, epsilon >= 0 else {
      throw .invalidValue(
        argument: "epsilon", value: Double(epsilon), expected: "a finite number, 0 or more")
    }
    self.kind = kind
    self.gamma = gamma
    self.beta = beta
    self.epsilon = epsilon
  }

  private static func checkOneRow(_ name: String, _ table: EmbeddingTable<Float>) throws(EmbedError)
  {
    guard table.rows == 1 else {
      throw .invalidSize(argument: "rows of \(name)", value: table.rows, expected: "1")
    }
  }

  private static func ones(_ dim: Int) throws(EmbedError) -> EmbeddingTable<Float> {
    let table = try EmbeddingTable<Float>(rows: 1, dim: dim)
    unsafe table.unsafeBuffer.update(repeating: 1)
    return table
  }
}

extension NormParameters {
  /// A normalisation's parameters; valid for as long as the normalisation lives.
  init(_ normalization: Normalization?) {
    guard let normalization else {
      unsafe self.init(kind: .none, gamma: nil, beta: nil, epsilon: 0)
      return
    }
    unsafe self.init(
      kind: normalization.kind == .layer ? .layer : .rootMeanSquare,
      gamma: UnsafePointer(normalization.gamma.unsafeBuffer.baseAddress),
      beta: normalization.beta.flatMap { unsafe UnsafePointer($0.unsafeBuffer.baseAddress) },
      epsilon: normalization.epsilon)
  }
}
