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
  let merges: MergeTables
  /// The token of each byte, or what stands for it.
  let byteIDs: [UInt32]
  /// Whether every byte has a token, so that any text can be encoded.
  let coversAllBytes: Bool

  /// Tables for the rules of a merge list.
  ///
  /// `all` is a table of all of `tokens`, from which the whole pieces are chosen; `pairs` are the
  /// rules.
  init(tokens: TokenBytes, all: PieceTable, pairs: PairTable) throws(DataError) {
    self.tokens = tokens
    let byteIDs = singleBytes(all)
    self.byteIDs = byteIDs
    coversAllBytes = byteIDs.allSatisfy { Int32(bitPattern: $0) >= 0 }
    merges = MergeTables(pairs: pairs, byteIDs: byteIDs)
    // A token may be looked up whole only where the rules lead to it too.
    var merger = PieceMerger()
    var pieces = PieceTable(tokens: tokens)
    for index in 0..<tokens.count {
      let isWhole = leads(merges, &merger, byteIDs, to: tokens, index)
      if isWhole { _ = pieces.insert(index) }
      try merges.add(tokens[index], id: tokens.id(index), isWhole: isWhole)
    }
    self.pieces = pieces
  }

  /// Tables for tiktoken's rule: any two neighbours merge whose bytes together are a token, the
  /// token with the lowest id first.
  init(tokens: TokenBytes, all: PieceTable) throws(DataError) {
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
    merges = MergeTables(pairs: pairs, byteIDs: byteIDs)
    var merger = PieceMerger()
    var leadsToAll = true
    for index in 0..<tokens.count {
      try merges.add(tokens[index], id: tokens.id(index), isWhole: true)
      leadsToAll = leadsToAll && leads(merges, &merger, byteIDs, to: tokens, index)
    }
    // A part of a piece may be such a token as merging doesn't give, where the piece is not cut.
    if !leadsToAll { merges.joinAll() }

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

/// Whether the bytes of the token at `index` merge into just it; false for one without bytes.
private func leads(
  _ merges: MergeTables, _ merger: inout PieceMerger, _ byteIDs: [UInt32], to tokens: TokenBytes,
  _ index: Int
) -> Bool {
  var ids: [Int32] = []
  unsafe tokens[index].withUnsafeBufferPointer { text in
    guard let base = text.baseAddress, text.count > 0 else { return }
    unsafe merger.merge(base, text.count, tables: merges, byteIDs: byteIDs, into: &ids)
  }
  return ids.count == 1 && ids[0] == Int32(bitPattern: tokens.id(index))
}

/// What stands for a byte that has no token: as an Int32 below 0.
private func numberWithoutToken(_ byte: UInt8) -> UInt32 { 1 << 31 | UInt32(byte) }

/// The id of each single byte's token, or what stands for the byte.
private func singleBytes(_ all: PieceTable) -> [UInt32] {
  (UInt8.min...UInt8.max).map { all.id(of: [$0]) ?? numberWithoutToken($0) }
}
