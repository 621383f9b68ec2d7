// The tensors of an input embedding between a safetensors file and tables of floats.

public import EmbedKernel

/// The tables of an input embedding, as a checkpoint holds them.
///
/// Holds each table once: `EmbeddingTable` is shared by reference.
public struct EmbeddingWeights: Sendable {
  /// Token table `[vocabulary, dim]`.
  public var tokens: EmbeddingTable<Float>
  /// Position table `[maximum, dim]`.
  public var positions: EmbeddingTable<Float>?
  /// Segment table `[segments, dim]`.
  public var segments: EmbeddingTable<Float>?
  /// LayerNorm's scale, `[1, dim]`.
  public var normScale: EmbeddingTable<Float>?
  /// LayerNorm's bias, `[1, dim]`.
  public var normBias: EmbeddingTable<Float>?

  /// Tables that are already filled.
  ///
  /// - Throws: `invalidSize` where a table has another dim than the token table.
  public init(
    tokens: EmbeddingTable<Float>, positions: EmbeddingTable<Float>? = nil,
    segments: EmbeddingTable<Float>? = nil,
    normScale: EmbeddingTable<Float>? = nil, normBias: EmbeddingTable<Float>? = nil
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

  /// Reads the tables of the model at `path`; F16 and BF16 are widened, which is exact.
  ///
  /// Allocates the tables; of the files only the bytes of these tensors are read.
  ///
  /// - Parameters:
  ///   - path: A safetensors file, the index of a sharded model, or the folder of either.
  ///   - names: What the tensors are called; by default found out from the model, below any prefix
  ///     (`EmbeddingNames.init(ofModelAt:)`), and so for `.gpt2`, `.bert` and `.llama`. Of names of
  ///     your own every part must be there.
  /// - Throws: `ModelError`: `missingTensor`, with the nearest names that there are,
  ///   `ambiguousTensor`, `leftOut`, `elementType`, `shape`, and whatever is wrong with the files.
  public init(
    contentsOf path: String, names: EmbeddingNames? = nil
  ) throws(ModelError) {
    let model = try SafetensorsModel(contentsOf: path)
    try self.init(model, try EmbeddingNames.found(names, in: model))
  }

  /// Reads the tables that `names` names, one name a part.
  init(_ model: SafetensorsModel, _ names: EmbeddingNames) throws(ModelError) {
    guard let tokens = names.tokens.first else {
      throw .safetensors(.missingTensor(path: model.path, expected: ["a name"], found: model.names))
    }
    let table = try model.table(tokens)
    func read(_ names: [String], rank: Int) throws(ModelError) -> EmbeddingTable<Float>? {
      guard let name = names.first else { return nil }
      return try model.table(name, rank: rank, dim: table.dim)
    }
    self.tokens = table
    positions = try read(names.positions, rank: 2)
    segments = try read(names.segments, rank: 2)
    normScale = try read(names.normScale, rank: 1)
    normBias = try read(names.normBias, rank: 1)
  }

  /// Writes the tables to the file at `path`, which is replaced whole or stays as it was.
  ///
  /// - Parameters:
  ///   - names: What the tensors are called: the first name of each.
  ///   - type: `.float32`, or `.float16` or `.bfloat16`, to which elements are rounded.
  ///   - metadata: Texts for the header; `format` is set to `pt`, which other readers ask for,
  ///     unless given.
  /// - Throws: `ModelError`: `missingTensor` where a table has no name in the scheme,
  ///   `elementType`, `file`.
  public func save(
    to path: String, names: EmbeddingNames, type: SafetensorsType = .float32,
    metadata: [String: String] = [:]
  ) throws(ModelError) {
    var parts: [(name: String, table: EmbeddingTable<Float>, shape: [Int])] = []
    let all: [([String], EmbeddingTable<Float>?, Int)] = [
      (names.tokens, tokens, 2), (names.positions, positions, 2), (names.segments, segments, 2),
      (names.normScale, normScale, 1), (names.normBias, normBias, 1),
    ]
    for (index, (candidates, table, rank)) in all.enumerated() {
      guard let table else { continue }
      guard let name = candidates.first else {
        let kind = ["token", "position", "segment", "norm scale", "norm bias"][index]
        throw .safetensors(
          .missingTensor(
            path: path, expected: ["a name for the \(kind) table"], found: all.flatMap(\.0)))
      }
      parts.append((name, table, rank == 2 ? [table.rows, table.dim] : [table.dim]))
    }
    var texts = ["format": "pt"]
    texts.merge(metadata) { $1 }
    do throws(SafetensorsError) {
      var writer = try SafetensorsWriter(
        path, tensors: parts.map { SafetensorsTensor($0.name, type, shape: $0.shape) },
        metadata: texts)
      for part in parts {
        let table = part.table
        try writer.write(part.name, rounding: table.span)
      }
      try writer.commit()
    } catch {
      throw .safetensors(error)
    }
  }
}
