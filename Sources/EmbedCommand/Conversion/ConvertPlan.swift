// What becomes of each tensor: its name, type and shape in the output, checked before anything is read.

internal import EmbedKernel
internal import EmbedModels
internal import EmbedResizing
internal import EmbedRows

/// A tensor of the output.
struct TargetTensor {
  var tensor: Tensor
  /// How rows are added, cut off or stretched.
  var resize: Resize?
  /// The form that its rows get.
  var rows: RowFormat?

  enum Resize {
    case vocabulary(NewRows, seed: UInt64)
    case positions(PositionInterpolation)
  }
}

/// The tensors of the output, in the order of the source's.
struct ConvertPlan {
  private(set) var tensors: [TargetTensor]
  private let source: TensorFile

  init(_ arguments: Arguments, _ source: TensorFile, into format: ArrayFormat) throws {
    self.source = source
    tensors = source.tensors.map { TargetTensor(tensor: $0) }
    let listed = try arguments[Convert.tensors]
    for name in listed ?? [] where !source.tensors.contains(where: { $0.name == name }) {
      throw SafetensorsError.missingTensor(
        path: source.path, expected: [name], found: source.tensors.compactMap(\.name))
    }
    try resize(arguments, listed)
    try retype(arguments, listed)
    try changeRows(arguments, listed)
    try rename(arguments, format)
  }

  /// How many tensors are other than in the source, whatever the file's format.
  var changes: Int { zip(tensors, source.tensors).count { $0.tensor != $1 || $0.rows != nil } }

  // MARK: Rows

  private mutating func changeRows(_ arguments: Arguments, _ listed: [String]?) throws {
    guard let rows = try arguments[Convert.rows] else { return }
    try arguments.refuse(
      [Convert.type, Convert.vocabulary, Convert.maximumContext],
      "and --\(Convert.rows.name) exclude each other: convert twice")
    let indices =
      source.tensors.count == 1
      ? [0]
      : try listed.map { names in names.compactMap { name in source.index(of: [name]) } }
        ?? [source.tokenTable()]
    for index in indices {
      let tensor = source.tensors[index]
      guard tensor.shape.count == 2, tensor.count > 0 else {
        throw SafetensorsError.shape(
          path: source.path, tensor: tensor.name ?? "array", expected: "[rows, dim]",
          found: tensor.shape)
      }
      tensors[index].rows = rows
    }
  }

  // MARK: Types

  private mutating func retype(_ arguments: Arguments, _ listed: [String]?) throws {
    guard let type = try arguments[Convert.type] else { return }
    var kept: [String] = []
    for (index, tensor) in source.tensors.enumerated() {
      if let listed, !listed.contains(tensor.name ?? "") { continue }
      guard tensor.type.isFloat else {
        if listed != nil || source.tensors.count == 1 {
          throw wrongType(of: tensor, "F64, F32, F16 or BF16")
        }
        kept.append("\(tensor.name ?? "array") (\(tensor.type.rawValue))")
        continue
      }
      tensors[index].tensor.type = type.safetensorsType
    }
    if !kept.isEmpty {
      Report.standardError.line(
        "convert: kept in their types: \(kept.prefix(20).joined(separator: ", "))")
    }
  }

  // MARK: Names

  private mutating func rename(_ arguments: Arguments, _ format: ArrayFormat) throws {
    if let name = try arguments[Convert.tensorName] {
      guard tensors.count == 1 else {
        throw CommandError.usage(
          "--\(Convert.tensorName.name) is for a file of one array; '\(source.path)' has "
            + "\(tensors.count)")
      }
      try arguments.refuse(
        [Convert.names], "and --\(Convert.tensorName.name) exclude each other")
      tensors[0].tensor.name = name
    }
    guard let target = try arguments[Convert.names] else {
      // What has no name and gets one is a token table.
      if tensors.count == 1, tensors[0].tensor.name == nil, format == .gguf {
        tensors[0].tensor.name = EmbeddingNames.gguf.tokens[0]
      }
      return
    }
    for (from, to) in zip(try names().parts, target.parts) {
      guard let index = source.index(of: from) else { continue }
      guard let name = to.first else {
        let known = Convert.knownNames.first { $0.value == target }?.name ?? ""
        throw CommandError.data(
          "'\(source.path)': --names \(known) has no name for tensor "
            + "\(quoted(source.tensors[index].name ?? ""))")
      }
      tensors[index].tensor.name = name
    }
  }

  /// What the source calls the parts of an input embedding.
  private func names() throws(ModelError) -> EmbeddingNames {
    if source.isModel { return try EmbeddingNames(ofModelAt: source.path) }
    if let scheme = EmbeddingNames.known.first(where: { source.index(of: $0.tokens) != nil }) {
      return scheme
    }
    throw .safetensors(
      .missingTensor(
        path: source.path, expected: EmbeddingNames.known.flatMap(\.tokens),
        found: source.tensors.compactMap(\.name)))
  }

  // MARK: Sizes

  private mutating func resize(_ arguments: Arguments, _ listed: [String]?) throws {
    let (rows, context) = (
      try arguments[Convert.vocabulary], try arguments[Convert.maximumContext]
    )
    if let rows {
      if arguments.has(Convert.type) {
        try arguments.refuse(
          [Convert.tensors],
          "with --\(Convert.type.name) and --\(Convert.vocabulary.name) says which of the two? "
            + "Convert twice")
      }
      let indices =
        source.tensors.count == 1
        ? [0]
        : try listed.map { names in names.compactMap { name in source.index(of: [name]) } }
          ?? [source.index(of: names().tokens) ?? 0]
      let way = TargetTensor.Resize.vocabulary(
        try arguments[Convert.newRows], seed: try arguments[Convert.seed])
      for index in indices { try resize(index, rows, way) }
      let old = source.tensors[indices[0]].shape[0]
      let others = source.tensors.indices.filter {
        !indices.contains($0) && source.tensors[$0].shape.first == old
      }
      if !others.isEmpty, old != rows {
        let names = others.prefix(20).map { source.tensors[$0].name ?? "" }
        Report.standardError.line(
          "convert: kept with \(old) rows: \(names.joined(separator: ", "))")
      }
    }
    if let context {
      let index =
        source.tensors.count == 1 ? 0 : source.index(of: try names().positions)
      guard let index, rows == nil || source.tensors.count > 1 else {
        throw CommandError.data(
          "'\(source.path)': --\(Convert.maximumContext.name) needs a position table; found none")
      }
      try resize(index, context, .positions(try arguments[Convert.interpolation]))
    }
  }

  private mutating func resize(
    _ index: Int, _ rows: Int, _ way: TargetTensor.Resize
  ) throws(SafetensorsError) {
    let tensor = source.tensors[index]
    guard tensor.shape.count == 2, tensor.count > 0 else {
      throw .shape(
        path: source.path, tensor: tensor.name ?? "array", expected: "[rows, dim]",
        found: tensor.shape)
    }
    guard tensor.type.isFloat, tensor.type != .float64 else {
      throw wrongType(of: tensor, "F32, F16 or BF16")
    }
    guard rows != tensor.shape[0] else { return }
    tensors[index].tensor.shape[0] = rows
    tensors[index].resize = way
  }

  private func wrongType(of tensor: Tensor, _ expected: String) -> SafetensorsError {
    .elementType(
      path: source.path, tensor: tensor.name ?? "array", expected: expected, found: tensor.type)
  }
}

extension TensorFile {
  /// The token table, by its usual names.
  func tokenTable() throws(ModelError) -> Int {
    let names = tensors.compactMap(\.name)
    return index(of: [try EmbeddingNames.tokenTable(among: names, of: path)]) ?? 0
  }

  /// The first tensor of one of the names.
  func index(of names: [String]) -> Int? {
    for name in names {
      if let index = tensors.firstIndex(where: { $0.name == name }) { return index }
    }
    return nil
  }
}

extension EmbeddingNames {
  /// The names of each part, in one order.
  var parts: [[String]] { [tokens, positions, segments, normScale, normBias] }
}

extension SafetensorsType {
  /// Whether it is one of the types that elements are converted between.
  var isFloat: Bool { [.float64, .float32, .float16, .bfloat16].contains(self) }
}
