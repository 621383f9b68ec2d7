// A vocabulary says nothing of how text is cut before it is merged, and cut otherwise than it was made
// for the ids are others. But its tokens show it: one that no piece of GPT-2's pattern holds, such as
// ";\n", is of another. In GPT-2's vocabulary and p50k_base there is none, in Whisper's there are 5; in
// cl100k_base they are 22% of the tokens, in o200k_base 16%.

internal import CTokenizer

extension BytePairTokenizer {
  /// Refuses a large vocabulary of which many tokens are in no piece of the pattern.
  ///
  /// - Throws: `otherPattern`.
  func refuseOtherPattern(_ path: String) throws(DataError) {
    let tokens = tables.tokens
    // Below this, chance or a purpose may have made them.
    guard tokens.count >= 20_000 else { return }
    var crossing = 0
    var example = ""
    for index in 0..<tokens.count where tokens[index].count > 1 {
      let isOne = unsafe tokens[index].withUnsafeBufferPointer { text in
        guard let base = text.baseAddress, unsafe wellFormedEnd(base, 0, text.count) == text.count
        else { return true }
        return unsafe ek_piece_end(base, 0, text.count) == text.count
      }
      if isOne { continue }
      crossing += 1
      if example.isEmpty { example = String(decoding: tokens[index], as: UTF8.self) }
    }
    guard crossing * 20 < tokens.count else {
      throw .otherPattern(path: path, example: example, count: crossing, of: tokens.count)
    }
  }
}
