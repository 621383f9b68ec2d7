// Tables whose rows are no plain floats, where they lie in a file: blocks of GGUF, int8 and fp8 with scales,
// and bytes of which an option or the metadata say what they are. The weights are mapped, not copied.

internal import EmbedKernel
internal import EmbedRows

/// How a table that stays in its file is read.
struct MappedRows {
  /// How many bytes of it may be in memory; nil where nothing bounds them.
  var resident: Int?

  var access: FileAccess { resident == nil ? .mapped : .mappedInPages }
}

extension RowTable {
  /// The only array of `file` as a table; nil where it is one of plain floats.
  ///
  /// - Parameters:
  ///   - given: What the option says that bytes are.
  ///   - scales: The file of their scales, where the option names one.
  ///   - mapping: How plain floats, too, are read where they lie.
  static func read(
    _ file: TensorFile, as given: RowFormat? = nil, scales: String? = nil,
    mapping: MappedRows? = nil
  ) throws -> RowTable? {
    let tensor = file.tensors[0]
    let said = file.value(of: RowOptions.key(of: tensor.name ?? ""))?.text
    if file.isGGUF, let type = GGUFType(name: tensor.type.rawValue), type.blockCount > 1 {
      try refuse(given, scales, for: file)
      guard let format = RowFormat(type) else {
        throw GGUFError.elementType(
          path: file.path, tensor: tensor.name ?? "",
          expected: RowFormat.allCases.compactMap { $0.ggufType?.name }.joined(separator: ", "),
          found: type.name)
      }
      try requireMatrix(tensor, file)
      return try table(file, format, dim: tensor.shape[1], mapping)
    }
    switch tensor.type {
    case .int8, .float8e4m3:
      try refuse(given, nil, for: file)
      try requireMatrix(tensor, file)
      let format: RowFormat = tensor.type == .int8 ? .int8 : .fp8
      return try table(file, withScales: scales, format, given: nil, mapping)
    case .uint8:
      guard let format = given ?? said.flatMap({ RowFormat(rawValue: $0) }) else {
        throw CommandError.data(
          "'\(file.path)': what are these bytes of \(tensor.shape)? "
            + (said.map { "Rows of \(quoted($0)) are not known" }
              ?? "--\(RowOptions.rows.name) of embed and bag says it: "
              + RowOptions.names.map(\.name).joined(separator: ", ")))
      }
      guard said == nil || said == format.rawValue else {
        throw CommandError.data(
          "'\(file.path)': the file says that its rows are \(quoted(said ?? "")), "
            + "--\(RowOptions.rows.name) that they are \(format.rawValue)")
      }
      try requireMatrix(tensor, file)
      if try format == .fp8Row || format.scaleBytes(dim: format.block) > 0 {
        return try table(
          file, withScales: scales, format == .fp8Row ? .fp8 : format, given: format, mapping)
      }
      try refuse(nil, scales, for: file)
      let bytes = tensor.shape[1]
      guard let dim = format.dim(ofRowBytes: bytes) else {
        throw CommandError.data("'\(file.path)': no row of \(format.rawValue) takes \(bytes) bytes")
      }
      return try table(file, format, dim: dim, mapping)
    default:
      try refuse(given, scales, for: file)
      guard tensor.type.numPyType != nil else {
        throw SafetensorsError.elementType(
          path: file.path, tensor: tensor.name ?? "array",
          expected: "F32, F16, BF16, I8 or F8_E4M3", found: tensor.type)
      }
      let formats: [SafetensorsType: RowFormat] = [
        .float32: .float32, .float16: .float16, .bfloat16: .bfloat16,
      ]
      guard let mapping, let format = formats[tensor.type] else { return nil }
      try requireMatrix(tensor, file)
      return try table(file, format, dim: tensor.shape[1], mapping)
    }
  }

  private static func requireMatrix(_ tensor: Tensor, _ file: TensorFile) throws(SafetensorsError) {
    guard tensor.shape.count == 2, tensor.byteCount > 0 else {
      throw .shape(
        path: file.path, tensor: tensor.name ?? "array", expected: "[rows, dim]",
        found: tensor.shape)
    }
  }

  /// Refuses options about bytes for a table that says itself what it is.
  private static func refuse(
    _ given: RowFormat?, _ scales: String?, for file: TensorFile
  ) throws(CommandError) {
    let type = file.tensors[0].type.rawValue
    if given != nil {
      throw .usage("--\(RowOptions.rows.name) is for tables of uint8; '\(file.path)' is of \(type)")
    }
    if scales != nil {
      throw .usage(
        "--\(RowOptions.rowScales.name) is for tables of int8 and fp8; '\(file.path)' has none beside it"
      )
    }
  }

  /// Rows that have all within them.
  private static func table(
    _ file: TensorFile, _ format: RowFormat, dim: Int, _ mapping: MappedRows?
  ) throws -> RowTable {
    let rows = file.tensors[0].shape[0]
    let bytes = try file.bytes(access: mapping?.access ?? .mapped)
    let table = try naming(file.path) { () throws(EmbedError) in
      try unsafe RowTable(
        rows: rows, dim: dim, format: format, bytes: bytes.bytes,
        residentLimit: mapping?.resident, of: bytes)
    }
    return try table.mapped(file, mapping)
  }

  /// The table, which a limit needs in a file's pages.
  private func mapped(_ file: TensorFile, _ mapping: MappedRows?) throws(CommandError) -> RowTable {
    guard mapping?.resident == nil || isMapped else {
      throw .data(
        "'\(file.path)' cannot be mapped, as --\(RowOptions.resident.name) needs it: expected a .safetensors, "
          + ".gguf or .npy file whose arrays begin at multiples of their elements' size")
    }
    return self
  }

  /// Rows with scales beside them; without any where `plain` rows need none.
  private static func table(
    _ file: TensorFile, withScales path: String?, _ plain: RowFormat, given: RowFormat?,
    _ mapping: MappedRows?
  ) throws -> RowTable {
    let (rows, dim) = (file.tensors[0].shape[0], file.tensors[0].shape[1])
    let scales =
      try path.map { try RowScales(TensorFile($0, .single), of: file, format: given) }
      ?? RowScales(beside: file, format: given)
    guard let scales else {
      guard plain == .fp8 else {
        throw CommandError.data(
          "'\(file.path)': \(plain.rawValue) rows need scales; found none beside them by a name that is known "
            + "(such as \(quoted((file.tensors[0].name ?? "weight") + "_scale"))), and no "
            + "--\(RowOptions.rowScales.name)")
      }
      return try table(file, .fp8, dim: dim, mapping)
    }
    // Of fp8 rows the scales say which they are.
    guard given == nil || given == scales.format || plain == .fp8 && given == .fp8Row else {
      throw CommandError.data(
        "'\(file.path)': with these scales the rows are \(scales.format.rawValue), not "
          + "\(given?.rawValue ?? "")")
    }
    let owner = Kept((try file.bytes(access: mapping?.access ?? .mapped), scales.bytes))
    let table = try naming(file.path) { () throws(EmbedError) in
      try unsafe RowTable(
        rows: rows, dim: dim, format: scales.format, bytes: owner.value.0.bytes,
        scales: owner.value.1.bytes, rowsAScale: scales.rowsAScale,
        residentLimit: mapping?.resident, of: owner)
    }
    return try table.mapped(file, mapping)
  }
}

// MARK: As any table

extension RowTable: AnyTable {
  var typeName: String {
    let types: [RowFormat: NumPyElementType] = [
      .float32: .float32, .float16: .float16, .bfloat16: .bfloat16,
    ]
    return types[format].map { "\($0), mapped" } ?? format.rawValue
  }

  func floats() throws(EmbedError) -> EmbeddingTable<Float> { try decoded() }

  func layer(
    _ positions: (any AnyTable)?, _ path: String, _ settings: LayerSettings
  ) throws(CommandError) -> (any EmbedLayer)? {
    if let padding = settings.paddingID, padding >= rows {
      throw .data("'\(path)': padding id is \(padding); expected an id of 0...\(rows - 1)")
    }
    return switch positions {
    case let places as EmbeddingTable<Half>: layer(places, settings)
    case let places as EmbeddingTable<BFloat16>: layer(places, settings)
    case let places as EmbeddingTable<Float>: layer(places, settings)
    case nil: layer(nil as EmbeddingTable<Float>?, settings)
    default: nil
    }
  }

  private func layer<Element: TableElement>(
    _ positions: EmbeddingTable<Element>?, _ settings: LayerSettings
  ) -> any EmbedLayer {
    RowLayer(
      tokens: self, positions: positions, options: settings.options(dim: dim),
      paddingID: settings.paddingID)
  }
}
