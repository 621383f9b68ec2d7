// Which of a model's tensors make up its input embedding.
//
// Nothing is guessed: two tables that could be meant are an error that lists them, and so is a
// tensor beside the token table that no part here stands for, since a sum without it would be wrong.

internal import EmbedKernel

extension EmbeddingNames {
  /// The names that the model at `path` gives to the parts of its input embedding; parts that it
  /// does not have are empty.
  ///
  /// - Parameter path: A safetensors file, the index of a sharded model, or the folder of either.
  /// - Throws: `ModelError`: `missingTensor`, with the nearest names that there are,
  ///   `ambiguousTensor`, `leftOut`, and whatever is wrong with the file.
  public init(ofModelAt path: String) throws(ModelError) {
    let model = try SafetensorsModel(contentsOf: path)
    try self.init(in: model, EmbeddingFamily.all)
  }

  /// The same names below a prefix, such as `text_encoder.`, which also tells two tables apart.
  public func below(_ prefix: String) -> EmbeddingNames {
    func all(_ names: [String]) -> [String] { names.map { prefix + $0 } }
    return EmbeddingNames(
      tokens: all(tokens), positions: all(positions), segments: all(segments),
      normScale: all(normScale), normBias: all(normBias))
  }

  /// One name a part, those that `model` has: found out for nil and for a family's names, below any
  /// prefix; else the first of each that is there, of which none may be missing.
  static func found(
    _ names: EmbeddingNames?, in model: SafetensorsModel
  ) throws(ModelError) -> EmbeddingNames {
    let families = EmbeddingFamily.of(names)
    guard let names, families.isEmpty else { return try EmbeddingNames(in: model, families) }
    let present = Set(model.names)
    func first(_ part: [String]) throws(ModelError) -> [String] {
      guard !part.isEmpty else { return [] }
      guard let name = part.first(where: { present.contains($0) }) else {
        throw .safetensors(.missingTensor(path: model.path, expected: part, found: model.names))
      }
      return [name]
    }
    return EmbeddingNames(
      tokens: try first(names.tokens), positions: try first(names.positions),
      segments: try first(names.segments), normScale: try first(names.normScale),
      normBias: try first(names.normBias))
  }

  /// The names that one of `families` has in `model`; see `init(ofModelAt:)`.
  init(in model: SafetensorsModel, _ families: [EmbeddingFamily]) throws(ModelError) {
    let (table, family) = try Self.tokens(among: model.names, of: model.path, families)
    let prefix = String(table.dropLast(Self.base(of: family.tokens).count))
    let present = Set(model.names)
    func find(_ part: [String]) throws(ModelError) -> [String] {
      let found = part.map { Self.name($0, beside: prefix) }.filter { present.contains($0) }
      guard found.count < 2 else {
        throw .ambiguousTensor(path: model.path, candidates: found)
      }
      return found
    }
    self.init(
      tokens: [table], positions: try find(family.positions), segments: try find(family.segments),
      normScale: try find(family.normScale), normBias: try find(family.normBias))
    guard normBias.isEmpty || !normScale.isEmpty else {
      throw .safetensors(
        .missingTensor(
          path: model.path, expected: family.normScale.map { Self.name($0, beside: prefix) },
          found: model.names))
    }
    try checkForParts(of: model, present, family, below: prefix)
    let isWhole =
      family.positions.isEmpty == positions.isEmpty && family.segments.isEmpty == segments.isEmpty
      && family.normScale.isEmpty == normScale.isEmpty
    // What one shard lacks another may have.
    if model.isOneShard, !isWhole { throw .oneShard(path: model.path) }
  }

  /// The name of the token table among those of a file's tensors.
  ///
  /// - Throws: `ModelError`: `missingTensor`, with the nearest names that there are, and `ambiguousTensor`.
  package static func tokenTable(
    among names: [String], of path: String
  ) throws(ModelError) -> String {
    try tokens(among: names, of: path, EmbeddingFamily.all).0
  }

  /// The token table, and the family that it belongs to.
  private static func tokens(
    among names: [String], of path: String, _ families: [EmbeddingFamily]
  ) throws(ModelError) -> (String, EmbeddingFamily) {
    var candidates: [(name: String, family: EmbeddingFamily)] = []
    for name in names {
      // Of two families whose names end alike, the longer one says more.
      let family = families.filter { $0.isTokens(name) }
        .max { $0.tokens.utf8.count < $1.tokens.utf8.count }
      if let family { candidates.append((name, family)) }
    }
    // Without a prefix, or with the usual one, a table is the model's own: DeepSeek's layers for
    // more tokens at a time have tables too.
    for usual in usualPrefixes {
      let own = candidates.filter { $0.name == usual + $0.family.tokens }
      if own.count == 1 { return own[0] }
    }
    // T5's shared table stands for those of its encoder and decoder.
    let shared = candidates.filter { $0.family.tokens == EmbeddingFamily.shared.tokens }
    for table in shared {
      let prefix = table.name.dropLast(table.family.tokens.count)
      candidates.removeAll {
        $0.name == prefix + "encoder.embed_tokens.weight"
          || $0.name == prefix + "decoder.embed_tokens.weight"
      }
    }
    // The table of a whole model inside another, before those of its layers.
    let models = candidates.filter { $0.name.hasSuffix(".model." + $0.family.tokens) }
    if models.count == 1 {
      let prefix = models[0].name.dropLast(models[0].family.tokens.count)
      if candidates.allSatisfy({ $0.name.hasPrefix(prefix) }) { return models[0] }
    }
    guard candidates.count < 2 else {
      throw .ambiguousTensor(path: path, candidates: candidates.map(\.name))
    }
    guard let only = candidates.first else {
      throw .safetensors(
        .missingTensor(
          path: path, expected: families.map(\.tokens), found: names))
    }
    return only
  }

  /// Refuses positions below another usual prefix than the token table's, and weights beside the
  /// table, in a folder of its own, that no part stands for.
  private func checkForParts(
    of model: SafetensorsModel, _ present: Set<String>, _ family: EmbeddingFamily,
    below prefix: String
  ) throws(ModelError) {
    let astray = Self.usualPrefixes.flatMap { usual in family.positions.map { usual + $0 } }
      .filter { positions.isEmpty && present.contains($0) }
    guard astray.isEmpty else { throw .leftOut(path: model.path, tensors: astray, reader: nil) }
    guard prefix.hasSuffix("embeddings.") || prefix.hasSuffix("embedding.") else { return }
    let known = Set(tokens + positions + segments + normScale + normBias)
    let rest = model.names.filter { name in
      name.hasPrefix(prefix) && !known.contains(name)
        && (name.hasSuffix(".weight") || name.hasSuffix(".bias"))
    }
    guard rest.isEmpty else { throw .leftOut(path: model.path, tensors: rest, reader: nil) }
  }

  /// What stands before the table of a model that is not part of another.
  private static let usualPrefixes = [
    "", "embeddings.", "model.", "transformer.", "bert.embeddings.",
  ]

  /// The last part of a family's name with what follows it: what stands beside the others.
  private static func base(of tokens: String) -> Substring {
    let parts = tokens.split(separator: ".")
    return tokens.suffix(parts.suffix(2).joined(separator: ".").count)
  }

  /// A tensor's name beside the token table below `prefix`.
  private static func name(_ part: String, beside prefix: String) -> String {
    guard part.hasPrefix("../") else { return prefix + part }
    return parent(prefix) + part.dropFirst(3)
  }

  /// The prefix without its last level.
  private static func parent(_ prefix: String) -> String {
    let parts = prefix.split(separator: ".").dropLast()
    return parts.isEmpty ? "" : parts.joined(separator: ".") + "."
  }
}
