// The tensors of an input embedding between a safetensors file and tables of floats.

/// The tables of an input embedding, as a checkpoint holds them.
///
/// Holds each table once: `EmbeddingTable` is shared by reference.
public struct EmbeddingWeights: Sendable {
  /// Token table `[vocabulary, dim]`.
  public var tokens: EmbeddingTable
  /// Position table `[maximum, dim]`.
  public var positions: EmbeddingTable?
  /// Segment table `[segments, dim]`.
  public var segments: EmbeddingTable?
  /// LayerNorm's scale, `[1, dim]`.
  public var normScale: EmbeddingTable?
  /// LayerNorm's bias, `[1, dim]`.
  public var normBias: EmbeddingTable?

  /// Tables that are already filled.
  ///
  /// - Throws: `invalidSize` where a table has another dim than the token table.
  public init(
    tokens: EmbeddingTable, positions: EmbeddingTable? = nil, segments: EmbeddingTable? = nil,
    normScale: EmbeddingTable? = nil, normBias: EmbeddingTable? = nil
  ) throws(EmbedError) {
    let others = [positions, segments, normScale, normBias]
    for case let table? in others where table.dim != tokens.dim {
      throw .invalidSize(
        argument: "dim of a table", value: table.dim,
        expected: "the token table's, \(tokens.dim)")
    }
    self.tokens = tokens
    self.positions = positions
    self.segments = segments
    self.normScale = normScale
    self.normBias = normBias
  }

  /// Reads the tables from the safetensors file at `path`; F16 and BF16 are widened, which is exact.
  ///
  /// Allocates the tables; of the file only the pages of these tensors are read.
  ///
  /// - Parameter names: What the tensors are called; by default the first of
  ///   `EmbeddingNames.known` whose token table the file has.
  /// - Throws: `SafetensorsError`: `missingTensor`, listing the names that the file has,
  ///   `elementType`, `shape`, and whatever is wrong with the file.
  public init(
    contentsOf path: String, names: EmbeddingNames? = nil
  ) throws(SafetensorsError) {
    let file = try Safetensors(contentsOf: path)
    let schemes = names.map { [$0] } ?? EmbeddingNames.known
    let scheme = schemes.first { file.entry($0.tokens) != nil }
    guard let scheme else {
      throw .missingTensor(path: path, expected: schemes.flatMap(\.tokens), found: file.names)
    }
    let tokens = try file.requiredTable(scheme.tokens)
    let dim = tokens.dim
    self.tokens = tokens
    positions = try file.table(scheme.positions, rank: 2, dim: dim)
    segments = try file.table(scheme.segments, rank: 2, dim: dim)
    normScale = try file.table(scheme.normScale, rank: 1, dim: dim)
    normBias = try file.table(scheme.normBias, rank: 1, dim: dim)
  }

  /// Writes the tables to the file at `path`, which is replaced whole or stays as it was.
  ///
  /// - Parameters:
  ///   - names: What the tensors are called: the first name of each.
  ///   - type: `.float32`, or `.float16` or `.bfloat16`, to which elements are rounded.
  ///   - metadata: Texts for the header; `format` is set to `pt`, which other readers ask for,
  ///     unless given.
  /// - Throws: `SafetensorsError`: `missingTensor` where a table has no name in the scheme,
  ///   `elementType`, `file`.
  public func save(
    to path: String, names: EmbeddingNames, type: SafetensorsType = .float32,
    metadata: [String: String] = [:]
  ) throws(SafetensorsError) {
    var parts: [(name: String, table: EmbeddingTable, shape: [Int])] = []
    let all: [([String], EmbeddingTable?, Int)] = [
      (names.tokens, tokens, 2), (names.positions, positions, 2), (names.segments, segments, 2),
      (names.normScale, normScale, 1), (names.normBias, normBias, 1),
    ]
    for (index, (candidates, table, rank)) in all.enumerated() {
      guard let table else { continue }
      guard let name = candidates.first else {
        let kind = ["token", "position", "segment", "norm scale", "norm bias"][index]
        throw .missingTensor(
          path: path, expected: ["a name for the \(kind) table"], found: all.flatMap(\.0))
      }
      parts.append((name, table, rank == 2 ? [table.rows, table.dim] : [table.dim]))
    }
    var texts = ["format": "pt"]
    texts.merge(metadata) { $1 }
    var writer = try SafetensorsWriter(
      path, tensors: parts.map { SafetensorsTensor($0.name, type, shape: $0.shape) },
      metadata: texts)
    for part in parts {
      let table = part.table
      try writer.write(part.name, rounding: table.span)
    }
    try writer.commit()
  }
}

extension Safetensors {
  /// The first of `names` that the file has.
  func entry(_ names: [String]) -> SafetensorsEntry? {
    for name in names {
      if let entry = header.entry(name) { return entry }
    }
    return nil
  }

  /// The tensor by one of `names`, as a table; it must be there.
  func requiredTable(_ names: [String]) throws(SafetensorsError) -> EmbeddingTable {
    guard let table = try table(names, rank: 2, dim: nil) else {
      throw .missingTensor(path: path, expected: names, found: self.names)
    }
    return table
  }

  /// The tensor by one of `names`, widened to floats, or nil where the scheme has no name for it.
  ///
  /// - Parameters:
  ///   - rank: 2 for `[rows, dim]`, 1 for `[dim]`.
  ///   - dim: What the last dimension must be.
  func table(
    _ names: [String], rank: Int, dim: Int?
  ) throws(SafetensorsError) -> EmbeddingTable? {
    guard !names.isEmpty else { return nil }
    guard let entry = entry(names) else {
      throw .missingTensor(path: path, expected: names, found: self.names)
    }
    let wanted = dim.map(String.init) ?? "dim"
    guard entry.shape.count == rank, entry.count > 0, dim == nil || entry.shape.last == dim else {
      throw .shape(
        path: path, tensor: entry.name, expected: rank == 2 ? "[rows, \(wanted)]" : "[\(wanted)]",
        found: entry.shape)
    }
    let (rows, columns) = rank == 2 ? (entry.shape[0], entry.shape[1]) : (1, entry.shape[0])
    let table = try SafetensorsError.wrappingEmbed { () throws(EmbedError) in
      try EmbeddingTable(rows: rows, dim: columns)
    }
    try fill(table, from: entry)
    return table
  }

  private func fill(
    _ table: EmbeddingTable, from entry: SafetensorsEntry
  ) throws(SafetensorsError) {
    let target = unsafe table.unsafeBuffer
    switch entry.type {
    case .float32:
      let elements = try elements(of: entry.name, as: Float.self)
      unsafe elements.withUnsafeBufferPointer { unsafe _ = target.update(fromContentsOf: $0) }
    case .float16:
      let elements = try elements(of: entry.name, as: Half.self)
      for i in 0..<elements.count { unsafe target[i] = elements[i].float }
    case .bfloat16:
      let elements = try elements(of: entry.name, as: BFloat16.self)
      for i in 0..<elements.count { unsafe target[i] = elements[i].float }
    default:
      throw .elementType(
        path: path, tensor: entry.name, expected: "F32, F16 or BF16", found: entry.type)
    }
  }
}
