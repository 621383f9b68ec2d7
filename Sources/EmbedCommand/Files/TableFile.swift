// A table of a file in the form that its rows have there: float32, one of the two types of 16 bits, or a
// format that is decoded row by row.

internal import EmbedKernel
internal import EmbedRows

/// A table `[rows, dim]` of whatever form.
protocol AnyTable {
  var rows: Int { get }
  var dim: Int { get }
  /// NumPy's name of the element type, or the rows' format.
  var typeName: String { get }

  /// Bytes of the rows, with their scales.
  var byteCount: Int { get }

  /// The table as floats; exact. A table of floats is shared.
  func floats() throws(EmbedError) -> EmbeddingTable<Float>
  /// What embeds from the table, and from positions of the same element type; nil where those are of
  /// another. The padding row is zero from here on.
  func layer(
    _ positions: (any AnyTable)?, _ path: String, _ settings: LayerSettings
  ) throws(CommandError) -> (any EmbedLayer)?
}

enum TableFile {
  /// Reads a table of floats of 16 or 32 bits, by one of `ArrayFile.forms`.
  static func read(_ path: String) throws -> any AnyTable { try ArrayFile(path).table() }

  /// Reads a token table of any form, which a model's file need not name.
  ///
  /// - Parameters:
  ///   - rows: What bytes are, where the file does not say it.
  ///   - scales: The file of their scales, where they are not beside them.
  ///   - resident: How many bytes of the file may be in memory, which it is then mapped for, as it is where
  ///     memory cannot hold the table.
  static func tokens(
    _ path: String, rows: RowFormat? = nil, scales: String? = nil, resident: Int? = nil
  ) throws -> any AnyTable {
    let file = try TensorFile(path, .tokens)
    if resident == nil, SystemMemory.has(file.tensors[0].byteCount) {
      return try table(file, rows: rows, scales: scales)
    }
    if let table = try RowTable.read(
      file, as: rows, scales: scales, mapping: MappedRows(resident: resident))
    {
      return table
    }
    throw CommandError.data(
      "'\(path)': neither in memory, which has no room for it, nor mapped can it be read: expected "
        + "[rows, dim] of float32, bfloat16 or float16 in a .safetensors, .gguf or .npy file")
  }

  /// The only array of a file as a table of any form.
  static func table(
    _ file: TensorFile, rows: RowFormat? = nil, scales: String? = nil
  ) throws -> any AnyTable {
    if let table = try RowTable.read(file, as: rows, scales: scales) { return table }
    return try ArrayFile(file).table()
  }

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
  var typeName: String { "\(Element.numPyType)" }

  var byteCount: Int { rows * dim * MemoryLayout<Element>.stride }

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
      tokens: self, positions: places, options: settings.options(dim: dim))
  }
}
