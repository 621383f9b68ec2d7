// A table of a file in the element type that it has there: float32, or one of the two of 16 bits.

internal import EmbedKernel

/// A table `[rows, dim]` of whatever element type.
protocol AnyTable {
  var rows: Int { get }
  var dim: Int { get }
  /// NumPy's name of the element type.
  var type: NumPyElementType { get }

  /// The table as floats; exact. A table of floats is shared.
  func floats() throws(EmbedError) -> EmbeddingTable<Float>
  /// What embeds from the table, and from positions of the same element type; nil where those are of
  /// another. The padding row is zero from here on.
  func layer(
    _ positions: (any AnyTable)?, _ path: String, _ settings: LayerSettings
  ) throws(CommandError) -> (any EmbedLayer)?
}

enum TableFile {
  /// Reads `FILE.npy`, `FILE.npz:NAME` or `FILE.safetensors:NAME`.
  static func read(_ path: String) throws -> any AnyTable { try ArrayFile(path).table() }

  /// The same where rows must be of `dim` elements, as in what is named.
  static func read(_ path: String, rowsOf dim: Int, asIn other: String) throws -> any AnyTable {
    let table = try read(path)
    guard table.dim == dim else {
      throw CommandError.data(
        "'\(path)': expected rows of \(dim) as in \(other), found shape \([table.rows, table.dim])")
    }
    return table
  }
}

extension ArrayFile {
  /// The array as a table of its own element type, where it is `[rows, dim]` of floats.
  func table() throws -> any AnyTable {
    switch elementType {
    case .bfloat16: try table(of: BFloat16.self)
    case .float16: try table(of: Half.self)
    default: try table(of: Float.self)
    }
  }

  private func table<Element: TableElement>(
    of type: Element.Type
  ) throws -> EmbeddingTable<Element> {
    try require(Element.self)
    try require(rank: 2)
    let table = try naming(path) { () throws(EmbedError) in
      try EmbeddingTable<Element>(rows: shape[0], dim: shape[1])
    }
    try unsafe copy(into: table.unsafeBuffer)
    return table
  }
}

extension EmbeddingTable: AnyTable {
  var type: NumPyElementType { Element.numPyType }

  func floats() throws(EmbedError) -> EmbeddingTable<Float> {
    if let floats = self as? EmbeddingTable<Float> { return floats }
    let table = try EmbeddingTable<Float>(rows: rows, dim: dim)
    let input = span
    try table.withMutableSpan { (output) throws(EmbedError) in
      try Kernels.auto.convert(input, into: &output)
    }
    return table
  }

  func layer(
    _ positions: (any AnyTable)?, _ path: String, _ settings: LayerSettings
  ) throws(CommandError) -> (any EmbedLayer)? {
    let places = positions as? EmbeddingTable
    guard positions == nil || places != nil else { return nil }
    if let padding = settings.paddingID {
      guard padding < rows else {
        throw .data("'\(path)': padding id is \(padding); expected an id of 0...\(rows - 1)")
      }
      let row = unsafe UnsafeMutableBufferPointer(
        rebasing: unsafeBuffer[padding * dim..<(padding + 1) * dim])
      unsafe _ = UnsafeMutableRawBufferPointer(row).initializeMemory(as: UInt8.self, repeating: 0)
    }
    return TableLayer(
      tokens: self, positions: places,
      options: EmbedOptions(
        scale: settings.scale.factor(dim: dim), unknownIDs: settings.unknownIDs,
        positionOverflow: settings.overflow))
  }
}
