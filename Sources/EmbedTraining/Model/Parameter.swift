// A named tensor that training moves, with its gradient.

public import EmbedKernel

/// A parameter of a model.
public final class Parameter {
  /// GPT-2's name for it, such as `h.0.attn.c_attn.weight`.
  public let name: String

  /// `[rows, columns]`, or `[columns]` for a vector.
  public let shape: [Int]

  /// The values; a vector is one row.
  public let table: EmbeddingTable<Float>

  /// The gradient that the last pass left.
  public var gradient: TableGradient

  /// Whether weight decay applies: to matrices, not to biases and gains.
  public let decays: Bool

  /// Names a table, and allocates its gradient.
  init(_ name: String, _ table: EmbeddingTable<Float>, decays: Bool? = nil) throws(EmbedError) {
    self.name = name
    self.table = table
    // Not by the rows: a matrix may have one.
    let isVector = name.hasSuffix(".bias") || name.contains("ln_")
    shape = isVector ? [table.dim] : [table.rows, table.dim]
    self.decays = decays ?? !isVector
    gradient = try TableGradient(for: table)
  }

  /// Takes values of the same number.
  package func take(_ values: Span<Float>) {
    table.withMutableSpan { span in
      for i in span.indices { span[i] = values[i] }
    }
  }

  /// The values as a matrix.
  var matrix: StridedMatrix {
    unsafe StridedMatrix(table.unsafeBuffer.baseAddress.unsafelyUnwrapped, table.rows, table.dim)
  }

  /// The gradient as a matrix.
  var gradientMatrix: StridedMatrix {
    unsafe StridedMatrix(gradient.unsafeBuffer.baseAddress.unsafelyUnwrapped, table.rows, table.dim)
  }
}
