// Token bytes and ids, and tokens by their bytes. All are flat arrays: a lookup hashes the bytes of
// the text in place, probes one array of (tag, token) and compares with the token's bytes, so nothing
// is allocated and no string is made. Memory follows the tokens there are, never the largest id.

internal import CTokenizer

/// The tokens of a vocabulary, in the order of their ids. Ids may leave gaps.
struct TokenBytes: Sendable {
  private struct Entry {
    /// Where the token's bytes start.
    var start: UInt32
    var id: UInt32
  }

  /// One more entry than tokens, for the end of the last one's bytes.
  private let entries: [Entry]
  private let bytes: [UInt8]
  /// The bytes of the longest token.
  let longest: Int

  /// - Parameter tokens: By ascending id, of which no two are equal; under 4 GiB in all. A token may
  ///   be empty: it has an id and arises from no text.
  init(_ tokens: [(id: UInt32, bytes: [UInt8])]) {
    var entries: [Entry] = []
    var bytes: [UInt8] = []
    var longest = 0
    entries.reserveCapacity(tokens.count + 1)
    for token in tokens {
      entries.append(Entry(start: UInt32(bytes.count), id: token.id))
      bytes.append(contentsOf: token.bytes)
      longest = max(longest, token.bytes.count)
    }
    entries.append(Entry(start: UInt32(bytes.count), id: .max))
    self.entries = entries
    self.bytes = bytes
    self.longest = longest
  }

  /// The number of tokens.
  var count: Int { entries.count - 1 }

  /// The id of the token at `index` in the order of ids.
  @inline(__always)
  func id(_ index: Int) -> UInt32 { entries[index].id }

  /// The bytes of the token at `index`.
  subscript(index: Int) -> ArraySlice<UInt8> {
    bytes[Int(entries[index].start)..<Int(entries[index + 1].start)]
  }

  /// The index of the token with the id, or nil if no token has it. O(1) before the first gap of the
  /// ids, O(log n) after it.
  func index(of id: UInt32) -> Int? {
    if id < count, entries[Int(id)].id == id { return Int(id) }
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].id < id { low = middle + 1 } else { high = middle }
    }
    return low < count && entries[low].id == id ? low : nil
  }

  /// Whether the token's bytes are the `length` bytes at `text`.
  @inline(__always)
  func matches(_ index: Int, _ text: UnsafePointer<UInt8>, _ length: Int) -> Bool {
    let start = Int(entries[index].start)
    guard Int(entries[index + 1].start) - start == length else { return false }
    for i in 0..<length where unsafe bytes[start + i] != text[i] { return false }
    return true
  }

  /// A number that tells the first `count` tokens from others, by their bytes in order.
  func digest(first count: Int) -> UInt64 {
    var digest: UInt64 = 0
    for index in 0..<count {
      let hash = unsafe self[index].withUnsafeBufferPointer {
        unsafe ek_piece_hash($0.baseAddress, $0.count)
      }
      digest = ek_fold(digest ^ hash, 0x9E37_79B9_7F4A_7C15)
    }
    return digest
  }
}

/// Tokens by their bytes: open addressing with linear probing, at most half full.
struct PieceTable: Sendable {
  /// The upper 32 bits of the hash over the token's index + 1; 0 is free.
  private var slots: [UInt64]
  private let tokens: TokenBytes

  /// An empty table with room for all of `tokens`.
  init(tokens: TokenBytes) {
    var size = 16
    while size < tokens.count * 2 { size *= 2 }
    slots = Array(repeating: 0, count: size)
    self.tokens = tokens
  }

  /// Adds the token at `index`; returns the index of the one that has the same bytes already, if
  /// there is one. An empty token is in no text, and not added.
  mutating func insert(_ index: Int) -> Int? {
    unsafe tokens[index].withUnsafeBufferPointer { text -> Int? in
      guard let base = text.baseAddress, text.count > 0 else { return nil }
      if let present = unsafe self.index(base, text.count) { return present }
      let hash = unsafe ek_piece_hash(base, text.count)
      var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
      while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = hash & 0xFFFF_FFFF_0000_0000 | UInt64(index + 1)
      return nil
    }
  }

  /// The id of the token with the `length` bytes at `text`.
  @inline(__always)
  func id(_ text: UnsafePointer<UInt8>, _ length: Int) -> UInt32? {
    unsafe index(text, length).map { tokens.id($0) }
  }

  /// The id of the token with these bytes.
  func id(of bytes: [UInt8]) -> UInt32? {
    unsafe bytes.withUnsafeBufferPointer { text in
      unsafe text.baseAddress.flatMap { unsafe id($0, text.count) }
    }
  }

  @inline(__always)
  private func index(_ text: UnsafePointer<UInt8>, _ length: Int) -> Int? {
    let hash = unsafe ek_piece_hash(text, length)
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while true {
      let entry = slots[slot]
      if entry == 0 { return nil }
      if (entry ^ hash) >> 32 == 0 {
        let index = Int(truncatingIfNeeded: entry & 0xFFFF_FFFF) - 1
        if unsafe tokens.matches(index, text, length) { return index }
      }
      slot = (slot + 1) & mask
    }
  }
}
