// From ids back to bytes, and questions about single tokens.

extension BytePairTokenizer {
  /// Appends the bytes of `ids` to `bytes`, which is left as it was when this throws. A special
  /// token gives its name.
  ///
  /// - Throws: ``DataError/unknownToken(id:position:vocabularySize:)`` for the first id that no
  ///   token has.
  public func decode(_ ids: Span<Int32>, into bytes: inout [UInt8]) throws(DataError) {
    let start = bytes.count
    for i in ids.indices {
      guard let token = token(ids[i]) else {
        bytes.removeLast(bytes.count - start)
        throw .unknownToken(id: ids[i], position: i, vocabularySize: vocabularySize)
      }
      bytes.append(contentsOf: token)
    }
  }

  /// The bytes of the token `id`, or nil if there is none.
  public func bytes(of id: Int32) -> [UInt8]? { token(id).map(Array.init) }

  /// The id of the ordinary token with just these bytes, or nil if there is none.
  ///
  /// Encoding the same bytes as text may give several ids, as pieces end at GPT-2's boundaries.
  public func id(of bytes: [UInt8]) -> Int32? {
    tables.pieces.id(of: bytes).map { Int32(bitPattern: $0) }
  }

  /// Whether some token has the id. Ids below ``vocabularySize`` that none has are unused.
  public func hasToken(_ id: Int32) -> Bool { token(id) != nil }

  private func token(_ id: Int32) -> ArraySlice<UInt8>? {
    if id >= 0, let index = tables.tokens.index(of: UInt32(id)) { return tables.tokens[index] }
    return specials[id].map { $0.name[...] }
  }
}
