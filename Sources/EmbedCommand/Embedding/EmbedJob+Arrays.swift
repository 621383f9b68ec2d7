// The form of arrays: ids and tables from files of NumPy, read straight into the memory that is
// used.

internal import EmbedKernel

extension EmbedJob {
  /// Reads the files and checks their shapes against each other.
  init(
    ids idsPath: String, table tablePath: String, _ arguments: Arguments, _ shared: SharedSettings
  )
    throws
  {
    tokens = try TokenBatch(contentsOf: idsPath)
    let table = try ArrayFile(tablePath).table()
    let embedding = try naming(tablePath) { () throws(EmbedError) in
      try TokenEmbedding(table: table, paddingID: shared.paddingID)
    }
    embedding.clearPaddingRow()

    let positions: EmbeddingTable?
    let remark: String
    if let path = arguments.string(Embed.positionTable) {
      let rows = try ArrayFile(path).table()
      guard rows.dim == table.dim else {
        throw CommandError.data(
          "'\(path)': expected rows of \(table.dim) as in '\(tablePath)', found shape "
            + "\([rows.rows, rows.dim])")
      }
      (positions, remark) = (rows, "'\(path)'")
    } else if shared.scheme == .sinusoidal {
      let rows = try shared.rows(
        context: tokens.context, arguments.integer(Embed.maximumContext))
      positions = try AbsolutePositions.sinusoids(
        rows: rows, dim: table.dim, layout: shared.layout, base: shared.base)
      remark = "sinusoidal, \(shared.layout.rawValue)"
    } else {
      (positions, remark) = (nil, "")
    }
    layer = try shared.layer(embedding, positions)
    let (place, path) = try shared.place(
      arguments, batch: tokens.batch, context: tokens.context)
    self.place = place
    placePath = path ?? arguments.string(Embed.positionTable)
    self.idsPath = idsPath
    let width = if case .narrow = tokens.ids { "int32" } else { "int64" }
    facts = [
      ("token ids", "\([tokens.batch, tokens.context])", "'\(idsPath)', \(width)"),
      ("token table", "\([table.rows, table.dim])", "'\(tablePath)'"),
      ("position table", positions.map { "\([$0.rows, $0.dim])" } ?? "none", remark),
    ]
  }
}
