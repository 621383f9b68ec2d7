// The form of arrays: ids and tables from files, read straight into the memory that is used.

internal import EmbedKernel

extension EmbedJob {
  /// Reads the files and checks their shapes against each other.
  init(
    ids idsPath: String, table tablePath: String, _ arguments: Arguments, _ shared: SharedSettings
  )
    throws
  {
    tokens = try TokenBatch(contentsOf: idsPath)
    let table = try TableFile(tablePath)
    let positionPath = arguments.string(Embed.positionTable)
    let positions = try positionPath.map { try TableFile($0) }
    if let positions, let positionPath, positions.dim != table.dim {
      throw CommandError.data(
        "'\(positionPath)': expected rows of \(table.dim) as in '\(tablePath)', found shape "
          + "\([positions.rows, positions.dim])")
    }
    if let layer = try HalfTables.layer(table, positions, tablePath, arguments, shared) {
      self.layer = layer
    } else {
      let embedding = try naming(tablePath) { () throws(EmbedError) in
        try TokenEmbedding(table: table.widened(), paddingID: shared.paddingID)
      }
      embedding.clearPaddingRow()
      var rows = try positions?.widened()
      if shared.scheme == .sinusoidal {
        rows = try AbsolutePositions.sinusoids(
          rows: shared.rows(context: tokens.context, arguments.integer(Embed.maximumContext)),
          dim: table.dim, layout: shared.layout, base: shared.base)
      }
      let plain = try shared.layer(embedding, rows)
      let call = try FusedOptions.call(arguments, plain, tokens)
      layer = call.map { .fused($0) } ?? .plain(plain)
    }
    let (place, path) = try PlaceOptions.place(
      arguments, batch: tokens.batch, context: tokens.context)
    self.place = place
    placePath = path ?? positionPath
    segmentPath = arguments.string(FusedOptions.segmentIDs)
    self.idsPath = idsPath
    let width = if case .narrow = tokens.ids { "int32" } else { "int64" }
    facts = [
      ("token ids", "\([tokens.batch, tokens.context])", "'\(idsPath)', \(width)"),
      ("token table", "\([table.rows, table.dim])", "'\(tablePath)', \(table.type)"),
      (
        "position table", layer.positionRows.map { "\([$0, table.dim])" } ?? "none",
        positions.map { "'\(positionPath ?? "")', \($0.type)" }
          ?? (shared.scheme == .sinusoidal ? "sinusoidal, \(shared.layout.rawValue)" : "")
      ),
    ]
  }
}
