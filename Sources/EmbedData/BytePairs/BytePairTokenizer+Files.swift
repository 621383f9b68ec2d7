// The two published forms of a byte-pair vocabulary: a JSON object from token to id with a list of
// merges, GPT-2's, and tiktoken's single file of ranks.

extension BytePairTokenizer {
  /// Reads a vocabulary of GPT-2's form: `encoder.json` and `vocab.bpe`, or the same under Hugging
  /// Face's names, `vocab.json` and `merges.txt`.
  ///
  /// Ids may leave gaps. A token of the encoder that is neither a byte nor made by a merge can't arise
  /// from text. Where its name stands for itself it is a special token, with the id that the file
  /// gives it: GPT-2 has one, `<|endoftext|>`.
  ///
  /// - Throws: ``DataError`` naming the file and line of the first fault.
  public convenience init(encoder encoderPath: String, merges mergesPath: String) throws(DataError)
  {
    try self.init(
      encoder: VocabularyText(encoderPath), merges: VocabularyText(mergesPath))
  }

  convenience init(encoder: VocabularyText, merges: VocabularyText) throws(DataError) {
    let members = try readEncoder(encoder)
    let alphabet = ByteAlphabet()
    var all = TokenCollector(path: encoder.path)
    var decoded: [[UInt8]?] = []
    for member in members {
      let bytes = alphabet.decode(member.key)
      decoded.append(bytes)
      if let bytes {
        try all.add(bytes, id: member.value, name: member.text, line: member.line)
      } else {
        try all.claim(member.value, name: member.text, line: member.line)
      }
    }
    let (tokens, table) = try all.sorted()
    let rules = try MergeRules(merges, alphabet, tokens: table, count: tokens.count)

    var ordinary = TokenCollector(path: encoder.path)
    var specials = SpecialCollector()
    for (member, bytes) in zip(members, decoded) {
      let id = member.value
      if let bytes, bytes.count <= 1 || bytes != member.key || rules.made.contains(UInt32(id)) {
        try ordinary.add(bytes, id: id, name: member.text, line: member.line)
      } else {
        try specials.add(member.text, id: id)
      }
    }
    let (kept, pieces) = try ordinary.sorted()
    try Self.refuseNone(kept, encoder)
    try self.init(
      tables: BytePairTables(tokens: kept, all: pieces, pairs: rules.pairs),
      specials: specials.byName, path: encoder.path)
  }

  /// Reads tiktoken's rank file, such as `gpt2.tiktoken`, which has no special tokens in it. Ranks
  /// may leave gaps.
  ///
  /// - Parameter specialTokens: Those of the vocabulary; nil for GPT-2's where the file's tokens
  ///   are GPT-2's and leave its id free, and for none elsewhere.
  /// - Throws: ``DataError`` naming the file and line of the first fault, or the special token that
  ///   is empty, out of range or has an ordinary token's id.
  public convenience init(
    ranks path: String, specialTokens: [String: Int32]? = nil
  ) throws(DataError) {
    try self.init(ranks: VocabularyText(path), specialTokens: specialTokens)
  }

  convenience init(
    ranks text: VocabularyText, specialTokens: [String: Int32]? = nil
  ) throws(DataError) {
    let (tokens, table) = try readRanks(text).sorted()
    try Self.refuseNone(tokens, text)
    var specials = SpecialCollector()
    let names = specialTokens ?? (tokens.areGPT2s ? Self.gpt2SpecialTokens : [:])
    for (name, id) in names.sorted(by: { ($0.value, $0.key) < ($1.value, $1.key) }) {
      try specials.add(name, id: Int(id))
      if tokens.index(of: UInt32(id)) != nil {
        throw .conflictingToken(token: name, id: Int(id), reason: "has an ordinary token's id")
      }
    }
    try self.init(
      tables: BytePairTables(tokens: tokens, all: table), specials: specials.byName,
      path: text.path)
  }

  private static func refuseNone(
    _ tokens: TokenBytes, _ text: VocabularyText
  ) throws(DataError) {
    guard tokens.longest > 0 else {
      throw .malformedVocabulary(
        path: text.path, line: 1, reason: "no token from here to the end of the file")
    }
  }
}

extension TokenBytes {
  /// Whether the ids below GPT-2's `<|endoftext|>` are GPT-2's tokens, and that id is free: GPT-2's
  /// own file, and those that go on after it, such as p50k_base.
  fileprivate var areGPT2s: Bool {
    let ordinary = 50_256
    return count >= ordinary && id(ordinary - 1) == ordinary - 1
      && index(of: UInt32(ordinary)) == nil && digest(first: ordinary) == 0x481C_DA99_EA68_354B
  }
}

/// Special tokens by name, each with an id of its own.
private struct SpecialCollector {
  private(set) var byName: [String: Int32] = [:]
  private var ids: Set<Int> = []

  mutating func add(_ name: String, id: Int) throws(DataError) {
    let limit = BytePairTokenizer.largestID
    guard (0...limit).contains(id) else {
      throw .tokenIDOutOfRange(token: name, id: id, limit: limit)
    }
    guard !name.isEmpty else {
      throw .conflictingToken(token: name, id: id, reason: "is empty")
    }
    guard byName[name] == nil, ids.insert(id).inserted else {
      throw .conflictingToken(token: name, id: id, reason: "repeats a special token")
    }
    byName[name] = Int32(id)
  }
}
