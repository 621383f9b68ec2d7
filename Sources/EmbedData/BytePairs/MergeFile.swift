// Reads the merges of GPT-2's form of a vocabulary, `vocab.bpe` or `merges.txt`: on each line two
// tokens that join, the earlier line first. A first line may tell the version.

/// The rules of a merge list, and the ids that they make.
struct MergeRules {
  var pairs: PairTable
  private(set) var made: Set<UInt32> = []

  /// Reads the rules, whose tokens are all in `tokens`.
  init(
    _ text: VocabularyText, _ alphabet: ByteAlphabet, tokens: PieceTable, count: Int
  ) throws(DataError) {
    pairs = PairTable(capacity: count)
    var rank: UInt32 = 0
    for (index, line) in text.lines.enumerated() {
      let fields = VocabularyText.fields(line)
      if fields.isEmpty || line.starts(with: "#version".utf8) { continue }
      func fault(_ reason: String) -> DataError {
        .malformedVocabulary(path: text.path, line: index + 1, reason: reason)
      }
      func identify(_ bytes: [UInt8], _ name: ArraySlice<UInt8>) throws(DataError) -> UInt32 {
        guard let id = tokens.id(of: bytes) else {
          throw fault("the encoder has no token '\(String(decoding: name, as: UTF8.self))'")
        }
        return id
      }
      guard fields.count == 2 else {
        throw fault("\(fields.count) tokens instead of two to merge")
      }
      var parts: [[UInt8]] = []
      for field in fields {
        guard let bytes = alphabet.decode(field) else {
          throw fault(
            "'\(String(decoding: field, as: UTF8.self))' is not in GPT-2's byte alphabet")
        }
        parts.append(bytes)
      }
      // CLIP marks the end of a word so, and other encodings that are not of bytes do.
      if parts[1].count > 4, parts[1].ends(with: "</w>".utf8), !parts[0].isEmpty {
        throw fault(
          "'\(String(decoding: fields[1], as: UTF8.self))' marks the end of a word, which no "
            + "encoding of GPT-2's kind does")
      }
      let left = try identify(parts[0], fields[0])
      let right = try identify(parts[1], fields[1])
      let id = try identify(parts[0] + parts[1], fields[0] + fields[1])
      guard pairs.insert(left, right, Merge(rank: rank, id: id)) else {
        throw fault("repeats a merge")
      }
      made.insert(id)
      rank += 1
    }
  }
}

extension [UInt8] {
  fileprivate func ends(with other: some Collection<UInt8>) -> Bool {
    suffix(other.count).elementsEqual(other)
  }
}
