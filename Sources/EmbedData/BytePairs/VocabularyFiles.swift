// Finds the files of a vocabulary from one path: a folder, a rank file, or either file of a pair.
//
// Pairs go by their names, which may have a prefix, as in `gpt2-vocab.json`: `encoder.json` with
// `vocab.bpe` as OpenAI calls them, `vocab.json` with `merges.txt` as Hugging Face does.

extension BytePairTokenizer {
  /// Reads the vocabulary at `path`, in either published form.
  ///
  /// - Parameter path: A folder that holds one vocabulary; tiktoken's rank file; or one file of a
  ///   pair, beside the other: `encoder.json` and `vocab.bpe`, or `vocab.json` and `merges.txt`.
  /// - Throws: ``DataError/noVocabulary(path:reason:)`` where the files can't be told, and else as
  ///   ``init(encoder:merges:)`` and ``init(ranks:specialTokens:)``.
  public convenience init(vocabulary path: String) throws(DataError) {
    switch try VocabularyFiles(path) {
    case .ranks(let text): try self.init(ranks: text)
    case .pair(let encoder, let merges):
      try self.init(encoder: VocabularyText(encoder), merges: VocabularyText(merges))
    }
  }
}

/// The files of a vocabulary.
private enum VocabularyFiles {
  case ranks(VocabularyText)
  case pair(encoder: String, merges: String)

  /// The names of a pair's files, or their ends.
  private static let pairs = [
    (encoder: "encoder.json", merges: "vocab.bpe"), (encoder: "vocab.json", merges: "merges.txt"),
  ]
  private static let ranksEnd = ".tiktoken"
  private static let known =
    "encoder.json with vocab.bpe, vocab.json with merges.txt, or a rank file, .tiktoken"

  init(_ path: String) throws(DataError) {
    self = try Folders.isFolder(path) ? Self.inFolder(path) : Self.ofFile(path)
  }

  private static func inFolder(_ path: String) throws(DataError) -> VocabularyFiles {
    let names = try DataError.wrapping(try Folders.names(in: path))
    var found: [(names: String, files: (first: String, merges: String?))] = []
    var lonely: [String] = []
    for name in names {
      if name.hasSuffix(ranksEnd) { found.append((name, (name, nil))) }
      for pair in pairs where name.hasSuffix(pair.encoder) {
        let merges = name.dropLast(pair.encoder.count) + pair.merges
        if names.contains(String(merges)) {
          found.append(("\(name) with \(merges)", (name, String(merges))))
        } else {
          lonely.append("\(name) lacks \(merges)")
        }
      }
    }
    guard let one = found.first else {
      throw .noVocabulary(
        path: path, reason: lonely.first ?? "none of its files is \(known)")
    }
    guard found.count == 1 else {
      throw .noVocabulary(
        path: path,
        reason: "it holds several, of which one must be named: "
          + found.map(\.names).joined(separator: "; "))
    }
    let first = path + "/" + one.files.first
    guard let merges = one.files.merges else { return .ranks(try VocabularyText(first)) }
    return .pair(encoder: first, merges: path + "/" + merges)
  }

  private static func ofFile(_ path: String) throws(DataError) -> VocabularyFiles {
    for pair in pairs where path.hasSuffix(pair.merges) {
      let encoder = path.dropLast(pair.merges.count) + pair.encoder
      return .pair(encoder: try existing(String(encoder), beside: path), merges: path)
    }
    for pair in pairs where path.hasSuffix(pair.encoder) {
      let merges = path.dropLast(pair.encoder.count) + pair.merges
      return .pair(encoder: path, merges: try existing(String(merges), beside: path))
    }
    let text = try VocabularyText(path)
    guard text.first != UInt8(ascii: "{") else {
      throw .noVocabulary(
        path: path,
        reason: "a JSON object is read by the name encoder.json or vocab.json, beside its merges")
    }
    return .ranks(text)
  }

  /// The other file of a pair.
  private static func existing(
    _ partner: String, beside path: String
  ) throws(DataError) -> String {
    // What is wrong with the file that was named comes first.
    _ = try DataError.wrapping(try InputFile(path))
    guard Folders.exists(partner) else {
      throw .noVocabulary(path: path, reason: "'\(partner)' is not beside it")
    }
    return partner
  }
}
