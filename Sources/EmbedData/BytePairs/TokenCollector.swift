// The tokens of a vocabulary as its file lists them, in any order and with any gaps between the ids.
// What two of them share is an error that names the token and its line.

/// Tokens with their ids and lines.
struct TokenCollector {
  private struct Token {
    var bytes: [UInt8]
    var id: UInt32
    var line: Int
  }

  private let path: String
  private var tokens: [Token] = []
  private var ids: Set<UInt32> = []

  init(path: String) { self.path = path }

  /// Adds a token.
  ///
  /// - Parameter name: How a message spells it.
  mutating func add(_ bytes: [UInt8], id: Int, name: String, line: Int) throws(DataError) {
    try claim(id, name: name, line: line)
    tokens.append(Token(bytes: bytes, id: UInt32(id), line: line))
  }

  /// Sees that the id is one that this library can give, and that no token had it before.
  mutating func claim(_ id: Int, name: String, line: Int) throws(DataError) {
    let limit = BytePairTokenizer.largestID
    guard (0...limit).contains(id) else {
      throw fault(line, "the token '\(name)' has the id \(id), outside 0...\(limit)")
    }
    guard ids.insert(UInt32(id)).inserted else {
      throw fault(line, "the token '\(name)' with the id \(id) repeats an id")
    }
  }

  /// The tokens by id and a table of them by bytes; throws where two ids have the same bytes.
  consuming func sorted() throws(DataError) -> (tokens: TokenBytes, table: PieceTable) {
    tokens.sort { $0.id < $1.id }
    let bytes = TokenBytes(tokens.map { ($0.id, $0.bytes) })
    var table = PieceTable(tokens: bytes)
    var empty: UInt32?
    for (index, token) in tokens.enumerated() {
      let first = token.bytes.isEmpty ? empty : table.insert(index).map { bytes.id($0) }
      if token.bytes.isEmpty { empty = token.id }
      guard let first else { continue }
      let line = max(token.line, tokens.first { $0.id == first }?.line ?? 0)
      let name = String(decoding: token.bytes, as: UTF8.self)
      throw fault(
        line, "the token '\(name)' with the id \(token.id) has the bytes of the id \(first)")
    }
    return (bytes, table)
  }

  private func fault(_ line: Int, _ reason: String) -> DataError {
    .malformedVocabulary(path: path, line: line, reason: reason)
  }
}
