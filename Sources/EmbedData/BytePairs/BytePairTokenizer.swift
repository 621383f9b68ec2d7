// GPT-2's byte-level byte-pair encoding: what a vocabulary is, and how text becomes ids.
//
// Text is cut at special tokens, then at ill-formed UTF-8, then into pieces by GPT-2's pattern. A
// piece that is a token is looked up whole; the rest merge pair by pair. The tables are immutable
// and shared; each call takes a workspace of its own from a pool, so threads don't wait on another.

/// A byte-level byte-pair encoding with GPT-2's text pattern.
///
/// It gives the ids that OpenAI's tiktoken gives for the same vocabulary, and decodes them to the
/// bytes that went in, whatever they are. tiktoken replaces or refuses ill-formed UTF-8 in strings;
/// here each longest run of bytes that begin no well-formed character is a piece of its own, and
/// the text on either side is encoded as if it stood alone.
///
/// A vocabulary made for another pattern is refused where its tokens show it; see
/// ``DataError/otherPattern(path:example:count:of:)``. Ids may leave gaps, of any size: memory follows the tokens. A vocabulary need not have a token for
/// every byte; a text with such a byte, where no merge takes it up, is an error.
///
/// The tables of GPT-2's vocabulary take some 4 MB, or 7 MB from a rank file. Safe to use from several
/// threads at once.
public final class BytePairTokenizer: Tokenizer {
  /// How many tokens there are, special ones included: as many as ids, but for those unused.
  public var tokenCount: Int { tables.tokens.count + specials.byName.count }

  /// The special tokens of GPT-2: `<|endoftext|>` with the id 50256.
  public static var gpt2SpecialTokens: [String: Int32] { ["<|endoftext|>": 50_256] }

  /// Ids go up to this: one more of them is still an `Int32`.
  public static var largestID: Int { Int(Int32.max) - 1 }

  /// One more than the largest id, special tokens included.
  public let vocabularySize: Int

  let tables: BytePairTables
  let specials: SpecialTokens
  private let pattern: TextPattern
  private let pool = Guarded<[Workspace]>([])

  /// What one call needs to itself.
  final class Workspace: @unchecked Sendable {
    let matcher: TextPatternMatcher
    var merger = PieceMerger()

    init(_ pattern: TextPattern) throws(DataError) { matcher = try TextPatternMatcher(pattern) }
  }

  init(tables: BytePairTables, specials: [String: Int32], path: String) throws(DataError) {
    self.tables = tables
    self.specials = SpecialTokens(specials)
    pattern = try TextPattern()
    let last = tables.tokens.count - 1
    vocabularySize = max(
      last >= 0 ? Int(tables.tokens.id(last)) + 1 : 0, Int(specials.values.max() ?? -1) + 1)
    try refuseOtherPattern(path)
  }

  /// The tokens that text alone doesn't form, by name.
  public var specialTokens: [String: Int32] { specials.byName }

  /// Appends the ids of `bytes` to `ids`, which is left as it was when this throws.
  ///
  /// Allocates nothing in the steady state but what `ids` grows by.
  ///
  /// - Throws: ``DataError/specialTokenInText(token:offset:)`` when `special` is `.refused` and the
  ///   text spells one; ``DataError/byteWithoutToken(byte:offset:)`` for a byte that is in no token
  ///   there; ``DataError/pieceTooLong(offset:bytes:limit:)`` for a piece of 4 GiB.
  /// - Complexity: O(n) for prose; O(n log n) for text that is one piece.
  public func encode(
    _ bytes: Span<UInt8>, special: SpecialText, into ids: inout [Int32]
  ) throws(DataError) {
    let start = ids.count
    do throws(DataError) {
      try withWorkspace { workspace throws(DataError) in
        try unsafe bytes.withUnsafeBufferPointer { buffer throws(DataError) in
          guard let base = buffer.baseAddress else { return }
          try unsafe encode(base, buffer.count, special, workspace, &ids)
        }
      }
    } catch {
      ids.removeLast(ids.count - start)
      throw error
    }
  }

  func withWorkspace<Result>(
    _ body: (Workspace) throws(DataError) -> Result
  ) throws(DataError) -> Result {
    let pooled = pool.withLock { $0.popLast() }
    let workspace = if let pooled { pooled } else { try Workspace(pattern) }
    defer { pool.withLock { $0.append(workspace) } }
    return try body(workspace)
  }

  private func encode(
    _ text: UnsafePointer<UInt8>, _ count: Int, _ special: SpecialText, _ workspace: Workspace,
    _ ids: inout [Int32]
  ) throws(DataError) {
    var position = 0
    while special != .ordinary, let found = unsafe specials.next(text, position, count) {
      guard special == .recognised else {
        throw .specialTokenInText(
          token: String(decoding: found.entry.name, as: UTF8.self), offset: found.offset)
      }
      try unsafe encodeOrdinary(text, position..<found.offset, workspace, &ids)
      ids.append(found.entry.id)
      position = found.offset + found.entry.name.count
    }
    try unsafe encodeOrdinary(text, position..<count, workspace, &ids)
  }

  private func encodeOrdinary(
    _ text: UnsafePointer<UInt8>, _ range: Range<Int>, _ workspace: Workspace,
    _ ids: inout [Int32]
  ) throws(DataError) {
    var position = range.lowerBound
    while position < range.upperBound {
      let end = unsafe wellFormedEnd(text, position, range.upperBound)
      while position < end {
        let next = try unsafe workspace.matcher.pieceEnd(text, position, end)
        try unsafe encodePiece(text, position..<next, workspace, &ids)
        position = next
      }
      let resumed = unsafe illFormedEnd(text, position, range.upperBound)
      if position < resumed {
        try unsafe encodePiece(text, position..<resumed, workspace, &ids)
        position = resumed
      }
    }
  }

  @inline(__always)
  private func encodePiece(
    _ text: UnsafePointer<UInt8>, _ range: Range<Int>, _ workspace: Workspace,
    _ ids: inout [Int32]
  ) throws(DataError) {
    let piece = unsafe text + range.lowerBound
    if let id = unsafe tables.pieces.id(piece, range.count) {
      ids.append(Int32(bitPattern: id))
      return
    }
    guard range.count < Int(UInt32.max) else {
      throw .pieceTooLong(
        offset: range.lowerBound, bytes: range.count, limit: Int(UInt32.max) - 1)
    }
    let start = ids.count
    unsafe workspace.merger.merge(
      piece, range.count, pairs: tables.pairs, byteIDs: tables.byteIDs, into: &ids)
    if tables.coversAllBytes { return }
    var offset = range.lowerBound
    for id in ids[start...] {
      guard id >= 0 else {
        throw unsafe .byteWithoutToken(byte: text[offset], offset: offset)
      }
      offset += tables.length(id)
    }
  }
}
