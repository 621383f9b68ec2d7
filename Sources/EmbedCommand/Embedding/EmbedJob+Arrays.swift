// The form of arrays: ids and tables from files, read straight into the memory that is used.

internal import EmbedKernel

extension EmbedJob {
  /// Reads the files and checks their shapes against each other.
  init(
    ids idsPath: String, table tablePath: String, _ arguments: Arguments, _ shared: LayerSettings
  ) throws {
    let ids = try ArrayFile(idsPath)
    tokens = try TokenBatch(ids)
    let table = try TableFile.tokens(
      tablePath, rows: arguments[RowOptions.rows], scales: arguments[RowOptions.rowScales],
      resident: arguments[RowOptions.resident])
    let positionPath = try arguments[Embed.positionTable]
    let positions = try positionPath.map {
      try TableFile.read($0, rowsOf: table.dim, asIn: "'\(tablePath)'")
    }
    var places = positions
    if shared.scheme == .sinusoidal {
      places = try AbsolutePositions.sinusoids(
        rows: shared.rows(context: tokens.context, arguments[Embed.maximumContext]),
        dim: table.dim, layout: shared.layout, base: shared.base)
    }
    if !FusedOptions.isGiven(arguments), let layer = try table.layer(places, tablePath, shared) {
      self.layer = layer
    } else {
      try arguments.refuse(
        [RowOptions.resident],
        "is for rows that stay in their file: the fused layer needs the table in memory"
      )
      let embedding = try shared.tokens(tablePath, table.floats())
      let plain = try shared.layer(embedding, places?.floats())
      layer = try FusedOptions.call(arguments, plain, tokens) ?? plain.tables
    }
    let (place, path) = try PlaceOptions.place(
      arguments, batch: tokens.batch, context: tokens.context)
    self.place = place
    paths = SourcePaths(
      ids: idsPath, segments: try arguments[FusedOptions.segmentIDs], places: path ?? positionPath)
    facts = [
      ("token ids", "\([tokens.batch, tokens.context])", "'\(idsPath)', \(ids.elementType)"),
      ("token table", "\([table.rows, table.dim])", "'\(tablePath)', \(table.typeName)"),
      (
        "position table", layer.positionRows.map { "\([$0, table.dim])" } ?? "none",
        positions.map { "'\(positionPath ?? "")', \($0.typeName)" }
          ?? (shared.scheme == .sinusoidal ? "sinusoidal, \(shared.layout.rawValue)" : "")
      ),
    ]
  }
}
