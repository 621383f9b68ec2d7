// The tables behind a byte-pair tokenizer, built from either published form of a vocabulary.

/// Tokens, whole pieces, merges and the tokens of single bytes.
struct BytePairTables: Sendable {
  /// The bytes of ordinary tokens by id.
  let tokens: TokenBytes
  /// The tokens that a piece with the same bytes becomes at once.
  let pieces: PieceTable
  let pairs: PairTable
  /// The token of each byte.
  let byteIDs: [UInt32]

  /// Tables for the rules of a merge list.
  ///
  /// `all` is a table of all of `tokens`, from which the whole pieces are chosen; `pairs` are the
  /// rules; `path` is for the message about a byte without a token.
  init(tokens: TokenBytes, all: PieceTable, pairs: PairTable, path: String) throws(DataError) {
    self.tokens = tokens
    self.pairs = pairs
    let byteIDs = try singleBytes(all, path)
    self.byteIDs = byteIDs
    // A token may be looked up whole only where the rules lead to it too.
    var merger = PieceMerger()
    var ids: [Int32] = []
    var pieces = PieceTable(tokens: tokens, capacity: tokens.count)
    for id in 0..<tokens.count where !tokens[id].isEmpty {
      ids.removeAll(keepingCapacity: true)
      unsafe tokens[id].withUnsafeBufferPointer { text in
        guard let base = text.baseAddress else { return }
        unsafe merger.merge(base, text.count, pairs: pairs, byteIDs: byteIDs, into: &ids)
      }
      if ids.count == 1, ids[0] == Int32(id) { _ = pieces.insert(id) }
    }
    self.pieces = pieces
  }

  /// Tables for tiktoken's rule: any two neighbours merge whose bytes together are a token, the
  /// token with the lowest id first.
  init(tokens: TokenBytes, all: PieceTable, path: String) throws(DataError) {
    self.tokens = tokens
    pieces = all
    byteIDs = try singleBytes(all, path)
    var pairs = PairTable(capacity: tokens.count * 2)
    for id in 0..<tokens.count {
      unsafe tokens[id].withUnsafeBufferPointer { text in
        guard let base = text.baseAddress, text.count >= 2 else { return }
        for cut in 1..<text.count {
          if let left = unsafe all.id(base, cut),
            let right = unsafe all.id(base + cut, text.count - cut)
          {
            let merge = Merge(rank: UInt32(id), id: UInt32(id))
            _ = pairs.insert(UInt32(left), UInt32(right), merge)
          }
        }
      }
    }
    self.pairs = pairs
  }
}

/// The id of each single byte's token.
private func singleBytes(_ all: PieceTable, _ path: String) throws(DataError) -> [UInt32] {
  var ids: [UInt32] = []
  for byte in UInt8.min...UInt8.max {
    var byte = byte
    guard let id = unsafe all.id(&byte, 1) else {
      throw .byteWithoutToken(byte: byte, path: path)
    }
    ids.append(UInt32(id))
  }
  return ids
}
