// GPT-2's byte-level byte-pair encoding: what a vocabulary is, and how text becomes ids.
//
// Text is cut at special tokens, then at ill-formed UTF-8, then into pieces by GPT-2's pattern. A
// piece that was there before is in a cache; of the rest one that is a token is looked up whole, and
// others merge pair by pair. The tables are immutable and shared; each call takes a workspace of its
// own from a pool, with a cache in it, so threads don't wait on another.

internal import CTokenizer

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
/// The tables of GPT-2's vocabulary take some 6 MB, or 9 MB from a rank file. Each thread that encodes at
/// the same time as others has a cache of pieces and their ids, which is kept for later calls: 2.3 MB at
/// first, as it begins with GPT-2's short tokens, and at most ``cacheLimit`` bytes, 13 MB, however much
/// text there is. Safe to use from several threads at once.
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
  /// The most bytes that the cache of one thread takes.
  public static var cacheLimit: Int { ek_encoder_limit() }

  /// Longer pieces are merged so many bytes at a time.
  static let stretch = 1 << 17

  private let pool = Guarded<[Workspace]>([])

  /// What one call needs to itself.
  @safe final class Workspace: @unchecked Sendable {
    let encoder: OpaquePointer
    let ids: UnsafeMutablePointer<Int32>
    static let room = 1 << 15
    /// The ids of a part of a text that several threads share.
    var part: [Int32] = []
    var merger = PieceMerger()

    init(_ tables: BytePairTables) {
      guard let made = unsafe ek_encoder_make(tables.merges.vocabulary) else {
        fatalError("no memory for a cache of pieces")
      }
      unsafe encoder = made
      unsafe ids = .allocate(capacity: Self.room)
    }

    deinit {
      unsafe ek_encoder_free(encoder)
      unsafe ids.deallocate()
    }
  }

  init(tables: BytePairTables, specials: [String: Int32], path: String) throws(DataError) {
    self.tables = tables
    self.specials = SpecialTokens(specials)
    let last = tables.tokens.count - 1
    vocabularySize = max(
      last >= 0 ? Int(tables.tokens.id(last)) + 1 : 0, Int(specials.values.max() ?? -1) + 1)
    try refuseOtherPattern(path)
    // The first text needn't wait for it.
    pool.withLock { $0.append(Workspace(tables)) }
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
  /// - Complexity: O(n), for text that is one piece too: such a piece is merged 128 KiB at a time, in
  ///   some 5 MB. Where a vocabulary's tokens leave no place to cut it, which only tokens of over 4,096
  ///   bytes are known to do, it is merged whole: O(n log n), and some 40 bytes for each of its own.
  public func encode(
    _ bytes: Span<UInt8>, special: SpecialText, into ids: inout [Int32]
  ) throws(DataError) {
    let start = ids.count
    do throws(DataError) {
      try withWorkspace { workspace throws(DataError) in
        try unsafe bytes.withUnsafeBufferPointer { buffer throws(DataError) in
          guard let base = buffer.baseAddress else { return }
          try unsafe encode(base, 0..<buffer.count, special, workspace, &ids)
        }
      }
    } catch {
      ids.removeLast(ids.count - start)
      throw error
    }
  }

  /// The most that merging long pieces took: steps in all, and bytes of a piece at once.
  package var longPieceWork: (steps: Int, longest: Int) {
    pool.withLock {
      ($0.reduce(0) { $0 + $1.merger.steps }, $0.map(\.merger.longest).max() ?? 0)
    }
  }

  /// The ids of one piece by merging alone, `stretch` bytes at a time.
  package func merge(_ piece: [UInt8], stretch: Int) -> [Int32] {
    var ids: [Int32] = []
    withWorkspace { workspace in
      unsafe piece.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        unsafe mergeLong(base, 0..<buffer.count, stretch: stretch, workspace, &ids)
      }
    }
    return ids
  }

  /// The bytes that the largest cache of a thread has now, of those that no call uses.
  package var cacheBytes: Int {
    pool.withLock { $0.map { unsafe ek_encoder_bytes($0.encoder) }.max() ?? 0 }
  }

  func withWorkspace<Result, Failure: Error>(
    _ body: (Workspace) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let pooled = pool.withLock { $0.popLast() }
    let workspace = pooled ?? Workspace(tables)
    defer { pool.withLock { $0.append(workspace) } }
    return try body(workspace)
  }

  /// Appends the ids of a range of the text, from which offsets in errors count.
  func encode(
    _ text: UnsafePointer<UInt8>, _ range: Range<Int>, _ special: SpecialText,
    _ workspace: Workspace, _ ids: inout [Int32]
  ) throws(DataError) {
    var position = range.lowerBound
    let count = range.upperBound
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
    let first = ids.count
    unsafe reserve(&ids, text, range, workspace)
    while position < range.upperBound {
      let start = position
      let known = ids.count
      var isLong = false
      let room = ids.capacity - ids.count
      if room >= Self.slack {
        // To where they stay.
        ids.append(addingCapacity: room) { span in
          unsafe span.withUnsafeMutableBufferPointer { buffer, count in
            unsafe count += ek_encode(
              workspace.encoder, tables.merges.vocabulary, text, &position, range.upperBound,
              buffer.baseAddress.unsafelyUnwrapped + count, room, &isLong)
          }
        }
      } else {
        let count = unsafe ek_encode(
          workspace.encoder, tables.merges.vocabulary, text, &position, range.upperBound,
          workspace.ids, Workspace.room, &isLong)
        if room < count, position < range.upperBound {
          // Room for the rest at the rate so far.
          let rate = Double(known - first + count) / Double(max(1, position - range.lowerBound))
          ids.makeRoom(range.upperBound - position, rate: rate, beside: count + Self.slack)
        }
        unsafe ids.append(contentsOf: UnsafeBufferPointer(start: workspace.ids, count: count))
      }
      try unsafe refuseBytesWithoutToken(text, start, ids[known...])
      guard isLong else { continue }
      let end = unsafe ek_piece_end(text, position, range.upperBound)
      try unsafe encodeLong(text, position..<end, workspace, &ids)
      position = end
    }
  }

  /// Encodes a piece that is longer than those which are cached.
  func encodeLong(
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
    unsafe mergeLong(text, range, stretch: Self.stretch, workspace, &ids)
    try unsafe refuseBytesWithoutToken(text, range.lowerBound, ids[start...])
  }

  /// - Throws: `byteWithoutToken` where one of `ids`, of the text from `start` on, stands for such a byte.
  private func refuseBytesWithoutToken(
    _ text: UnsafePointer<UInt8>, _ start: Int, _ ids: ArraySlice<Int32>
  ) throws(DataError) {
    if tables.coversAllBytes { return }
    var offset = start
    for id in ids {
      guard id >= 0 else {
        throw unsafe .byteWithoutToken(byte: text[offset], offset: offset)
      }
      offset += tables.length(id)
    }
  }
}
