// The tables behind a byte-pair tokenizer, built from either published form of a vocabulary.
//
// A byte without a token takes part in merging under a number that is no id, as tiktoken merges bytes
// that are no tokens: two of them may join into a token. One that is left over is an error of the text.

/// Tokens, whole pieces, merges and the tokens of single bytes.
struct BytePairTables: Sendable {
  /// The bytes of ordinary tokens.
  let tokens: TokenBytes
  /// The tokens that a piece with the same bytes becomes at once.
  let pieces: PieceTable
  let pairs: PairTable
  /// The token of each byte, or what stands for it.
  let byteIDs: [UInt32]
  /// Whether every byte has a token, so that any text can be encoded.
  let coversAllBytes: Bool

  /// Tables for the rules of a merge list.
  ///
  /// `all` is a table of all of `tokens`, from which the whole pieces are chosen; `pairs` are the
  /// rules.
  init(tokens: TokenBytes, all: PieceTable, pairs: PairTable) {
    self.tokens = tokens
    self.pairs = pairs
    let byteIDs = singleBytes(all)
    self.byteIDs = byteIDs
    coversAllBytes = byteIDs.allSatisfy { Int32(bitPattern: $0) >= 0 }
    // A token may be looked up whole only where the rules lead to it too.
    var merger = PieceMerger()
    var ids: [Int32] = []
    var pieces = PieceTable(tokens: tokens)
    for index in 0..<tokens.count {
      ids.removeAll(keepingCapacity: true)
      unsafe tokens[index].withUnsafeBufferPointer { text in
        guard let base = text.baseAddress, text.count > 0 else { return }
        unsafe merger.merge(base, text.count, pairs: pairs, byteIDs: byteIDs, into: &ids)
      }
      if ids.count == 1, ids[0] == Int32(bitPattern: tokens.id(index)) { _ = pieces.insert(index) }
    }
    self.pieces = pieces
  }

  /// Tables for tiktoken's rule: any two neighbours merge whose bytes together are a token, the
  /// token with the lowest id first.
  init(tokens: TokenBytes, all: PieceTable) {
    self.tokens = tokens
    pieces = all
    byteIDs = singleBytes(all)
    coversAllBytes = byteIDs.allSatisfy { Int32(bitPattern: $0) >= 0 }
    // Where a token is cut, both sides must have a length that some part has.
    var isLength = [Bool](repeating: false, count: tokens.longest + 1)
    for index in 0..<tokens.count { isLength[tokens[index].count] = true }
    if tokens.longest > 0 { isLength[1] = true }
    var pairs = PairTable(capacity: tokens.count * 2)
    for index in 0..<tokens.count {
      let merge = Merge(rank: tokens.id(index), id: tokens.id(index))
      unsafe tokens[index].withUnsafeBufferPointer { text in
        guard let base = text.baseAddress, text.count >= 2 else { return }
        for cut in 1..<text.count where isLength[cut] && isLength[text.count - cut] {
          if let left = unsafe part(base, cut),
            let right = unsafe part(base + cut, text.count - cut)
          {
            _ = pairs.insert(left, right, merge)
          }
        }
      }
    }
    self.pairs = pairs

    func part(_ text: UnsafePointer<UInt8>, _ length: Int) -> UInt32? {
      unsafe all.id(text, length) ?? (length == 1 ? numberWithoutToken(text[0]) : nil)
    }
  }

  /// The number of bytes of a token, or of a byte without one.
  func length(_ id: Int32) -> Int {
    guard id >= 0, let index = tokens.index(of: UInt32(id)) else { return 1 }
    return tokens[index].count
  }
}

/// What stands for a byte that has no token: as an Int32 below 0.
private func numberWithoutToken(_ byte: UInt8) -> UInt32 { 1 << 31 | UInt32(byte) }

/// The id of each single byte's token, or what stands for the byte.
private func singleBytes(_ all: PieceTable) -> [UInt32] {
  (UInt8.min...UInt8.max).map { all.id(of: [$0]) ?? numberWithoutToken($0) }
}
