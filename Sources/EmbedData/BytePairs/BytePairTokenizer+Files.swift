// The two published forms of a byte-pair vocabulary: GPT-2's pair of files, a JSON object from token
// to id with a list of merges, and tiktoken's single file of ranks.

extension BytePairTokenizer {
  /// Reads GPT-2's `encoder.json` and `vocab.bpe`.
  ///
  /// A token of the encoder that is neither a byte nor made by a merge can't arise from text, and
  /// so is a special token; GPT-2 has one, `<|endoftext|>`.
  ///
  /// - Throws: ``DataError`` naming the file and line of the first fault.
  public convenience init(encoder encoderPath: String, merges mergesPath: String) throws(DataError)
  {
    var reader = FlatJSONReader(try readFile(encoderPath), path: encoderPath)
    let members = try reader.members()
    let alphabet = ByteAlphabet()
    var tokens = TokenCollector()
    var isOutside: [Bool] = []
    for member in members {
      let bytes = alphabet.decode(member.key)
      isOutside.append(bytes == nil)
      if let bytes { try tokens.add(bytes, id: member.value, name: member.text) }
    }
    let flat = TokenBytes(tokens.byID)
    let all = try tokens.table(flat)
    let (pairs, made) = try readMerges(mergesPath, alphabet, all, count: flat.count)

    var specials: [String: Int32] = [:]
    var ordinary = tokens.byID
    for (member, isOutside) in zip(members, isOutside) {
      let id = member.value
      if isOutside {
        guard id >= flat.count || flat[id].isEmpty else {
          throw .conflictingToken(token: member.text, id: id, reason: "repeats an id")
        }
      } else {
        if flat[id].count == 1 || made[id] { continue }
        ordinary[id] = []
      }
      try addSpecial(member.text, Int64(id), to: &specials)
    }
    let kept = TokenBytes(ordinary)
    var table = PieceTable(tokens: kept, capacity: kept.count)
    for id in 0..<kept.count { _ = table.insert(id) }
    try self.init(
      tables: BytePairTables(tokens: kept, all: table, pairs: pairs, path: encoderPath),
      specials: specials)
  }

  /// Reads tiktoken's rank file, such as `gpt2.tiktoken`, which has no special tokens in it.
  ///
  /// - Throws: ``DataError`` naming the file and line of the first fault, or the special token that
  ///   is empty, out of range or has an ordinary token's id.
  public convenience init(
    ranks path: String, specialTokens: [String: Int32] = BytePairTokenizer.gpt2SpecialTokens
  ) throws(DataError) {
    var tokens = TokenCollector()
    for token in try readRanks(try readFile(path), path: path) {
      try tokens.add(
        token.bytes, id: token.rank, name: String(decoding: token.bytes, as: UTF8.self))
    }
    let flat = TokenBytes(tokens.byID)
    let all = try tokens.table(flat)
    var specials: [String: Int32] = [:]
    for (name, id) in specialTokens.sorted(by: { $0.value < $1.value }) {
      try addSpecial(name, Int64(id), to: &specials)
      if id < flat.count, !flat[Int(id)].isEmpty {
        throw .conflictingToken(token: name, id: Int(id), reason: "has an ordinary token's id")
      }
    }
    try self.init(
      tables: BytePairTables(tokens: flat, all: all, path: path), specials: specials)
  }
}

/// Tokens by id, as they are read.
private struct TokenCollector {
  private(set) var byID: [[UInt8]] = []

  mutating func add(_ bytes: [UInt8], id: Int, name: String) throws(DataError) {
    let limit = BytePairTokenizer.largestID
    guard (0...limit).contains(id) else {
      throw .tokenIDOutOfRange(token: name, id: id, limit: limit)
    }
    guard !bytes.isEmpty else {
      throw .conflictingToken(token: name, id: id, reason: "is empty")
    }
    if id >= byID.count {
      byID.append(contentsOf: repeatElement([], count: id + 1 - byID.count))
    }
    guard byID[id].isEmpty else {
      throw .conflictingToken(token: name, id: id, reason: "repeats an id")
    }
    byID[id] = bytes
  }

  /// A table of all tokens; throws if two ids have the same bytes.
  func table(_ flat: TokenBytes) throws(DataError) -> PieceTable {
    var table = PieceTable(tokens: flat, capacity: flat.count)
    for id in 0..<flat.count {
      if let first = table.insert(id) {
        throw .conflictingToken(
          token: String(decoding: flat[id], as: UTF8.self), id: id,
          reason: "has the bytes of the id \(first)")
      }
    }
    return table
  }
}

private func addSpecial(
  _ name: String, _ id: Int64, to specials: inout [String: Int32]
) throws(DataError) {
  let limit = BytePairTokenizer.largestID
  guard (0...Int64(limit)).contains(id) else {
    throw .tokenIDOutOfRange(token: name, id: Int(id), limit: limit)
  }
  guard !name.isEmpty else {
    throw .conflictingToken(token: name, id: Int(id), reason: "is empty")
  }
  guard specials[name] == nil, !specials.values.contains(Int32(id)) else {
    throw .conflictingToken(token: name, id: Int(id), reason: "repeats a special token")
  }
  specials[name] = Int32(id)
}

/// The rules of `vocab.bpe`, and which ids some rule makes.
private func readMerges(
  _ path: String, _ alphabet: ByteAlphabet, _ all: PieceTable, count: Int
) throws(DataError) -> (PairTable, [Bool]) {
  var pairs = PairTable(capacity: count)
  var made = [Bool](repeating: false, count: count)
  var number = 0
  var rank: UInt32 = 0
  for line in try readFile(path).split(separator: 0x0A, omittingEmptySubsequences: false) {
    number += 1
    let fields = line.split { $0 == 0x20 || $0 == 0x0D }
    if fields.isEmpty || (number == 1 && line.starts(with: "#version".utf8)) { continue }
    guard fields.count == 2 else {
      throw .malformedVocabulary(
        path: path, line: number, reason: "\(fields.count) tokens instead of two to merge")
    }
    var whole: [UInt8] = []
    var ids: [UInt32] = []
    for field in fields {
      guard let bytes = alphabet.decode(field) else {
        throw .malformedVocabulary(
          path: path, line: number,
          reason: "'\(String(decoding: field, as: UTF8.self))' is not in GPT-2's byte alphabet")
      }
      whole += bytes
      ids.append(try identify(bytes, String(decoding: field, as: UTF8.self)))
    }
    let id = try identify(whole, String(decoding: fields[0] + fields[1], as: UTF8.self))
    guard pairs.insert(ids[0], ids[1], Merge(rank: rank, id: id)) else {
      throw .malformedVocabulary(path: path, line: number, reason: "repeats a merge")
    }
    made[Int(id)] = true
    rank += 1
  }
  return (pairs, made)

  func identify(_ bytes: [UInt8], _ name: String) throws(DataError) -> UInt32 {
    let id = unsafe bytes.withUnsafeBufferPointer { buffer in
      unsafe buffer.baseAddress.flatMap { unsafe all.id($0, buffer.count) }
    }
    guard let id else {
      throw .malformedVocabulary(
        path: path, line: number, reason: "the encoder has no token '\(name)'")
    }
    return UInt32(id)
  }
}

extension FlatJSONMember {
  /// The key as people read it.
  fileprivate var text: String { String(decoding: key, as: UTF8.self) }
}
