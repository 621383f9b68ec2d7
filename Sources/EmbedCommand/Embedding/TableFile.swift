// A table of a file in the element type that it has there: float32, or the two of half precision, whose
// kernels are others.

internal import EmbedKernel

/// A table `[rows, dim]` in its own element type.
enum TableFile {
  case float32(EmbeddingTable<Float>)
  case bfloat16(EmbeddingTable<BFloat16>)
  case float16(EmbeddingTable<Half>)

  /// Reads `FILE.npy`, `FILE.npz:NAME` or `FILE.safetensors:NAME`.
  init(_ path: String) throws {
    let file = try ArrayFile(path)
    self =
      switch file.elementType {
      case .bfloat16: .bfloat16(try Self.half(file))
      case .float16: .float16(try Self.half(file))
      default: .float32(try file.table())
      }
  }

  /// The same where rows must be of `dim` elements, as in what is named.
  init(_ path: String, rowsOf dim: Int, asIn other: String) throws {
    self = try TableFile(path)
    guard self.dim == dim else {
      throw CommandError.data(
        "'\(path)': expected rows of \(dim) as in \(other), found shape \([rows, self.dim])")
    }
  }

  private static func half<Element: HalfPrecision & NumPyElement>(
    _ file: ArrayFile
  ) throws -> EmbeddingTable<Element> {
    try file.require(rank: 2)
    let table = try naming(file.path) { () throws(EmbedError) in
      try EmbeddingTable<Element>(rows: file.shape[0], dim: file.shape[1])
    }
    try table.withMutableSpan { span in try file.read(typed: &span) }
    return table
  }

  var rows: Int {
    switch self {
    case .float32(let table): table.rows
    case .bfloat16(let table): table.rows
    case .float16(let table): table.rows
    }
  }

  var dim: Int {
    switch self {
    case .float32(let table): table.dim
    case .bfloat16(let table): table.dim
    case .float16(let table): table.dim
    }
  }

  /// NumPy's name of the element type.
  var type: NumPyElementType {
    switch self {
    case .float32: .float32
    case .bfloat16: .bfloat16
    case .float16: .float16
    }
  }

  /// The table as floats; exact. A table of floats is shared.
  func widened() throws(EmbedError) -> EmbeddingTable<Float> {
    switch self {
    case .float32(let table): table
    case .bfloat16(let table): try table.widened()
    case .float16(let table): try table.widened()
    }
  }
}
