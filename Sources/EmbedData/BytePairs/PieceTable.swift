// Token bytes by id, and ids by token bytes. Both are flat arrays: a lookup hashes the bytes of the
// text in place, probes one array of (tag, id) and compares with the token's bytes, so nothing is
// allocated and no string is made.

/// The bytes of every token, one after another.
struct TokenBytes: Sendable {
  /// Where each id's bytes start; one more entry than ids. Equal neighbours mark an unused id.
  private let starts: [UInt32]
  private let bytes: [UInt8]

  /// - Parameter tokens: The bytes of each id, empty for an unused one; under 4 GiB in all.
  init(_ tokens: [[UInt8]]) {
    var starts: [UInt32] = [0]
    var bytes: [UInt8] = []
    for token in tokens {
      bytes.append(contentsOf: token)
      starts.append(UInt32(bytes.count))
    }
    self.starts = starts
    self.bytes = bytes
  }

  var count: Int { starts.count - 1 }

  /// The range of the token's bytes; empty for an unused id. `id` is below `count`.
  @inline(__always)
  func range(_ id: Int) -> Range<Int> { Int(starts[id])..<Int(starts[id + 1]) }

  subscript(id: Int) -> ArraySlice<UInt8> { bytes[range(id)] }

  /// Whether the token's bytes are the `length` bytes at `text`.
  @inline(__always)
  func matches(_ id: Int, _ text: UnsafePointer<UInt8>, _ length: Int) -> Bool {
    let range = range(id)
    guard range.count == length else { return false }
    for i in 0..<length where unsafe bytes[range.lowerBound + i] != text[i] { return false }
    return true
  }
}

/// Ids by token bytes: open addressing with linear probing, at most half full.
struct PieceTable: Sendable {
  /// The upper 32 bits of the hash over id + 1; 0 is free.
  private var slots: [UInt64]
  private let tokens: TokenBytes

  /// A table for up to `capacity` of `tokens`.
  init(tokens: TokenBytes, capacity: Int) {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    slots = Array(repeating: 0, count: size)
    self.tokens = tokens
  }

  /// Adds the token `id`; returns the id that has the same bytes already, if there is one.
  mutating func insert(_ id: Int) -> Int? {
    unsafe tokens[id].withUnsafeBufferPointer { text -> Int? in
      guard let base = text.baseAddress else { return nil }
      if let present = unsafe self.id(base, text.count) { return present }
      let hash = unsafe pieceHash(base, text.count)
      var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
      while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = hash & 0xFFFF_FFFF_0000_0000 | UInt64(id + 1)
      return nil
    }
  }

  /// The id of the token with the `length` (at least 1) bytes at `text`.
  @inline(__always)
  func id(_ text: UnsafePointer<UInt8>, _ length: Int) -> Int? {
    let hash = unsafe pieceHash(text, length)
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: hash) & mask
    while true {
      let entry = slots[slot]
      if entry == 0 { return nil }
      if (entry ^ hash) >> 32 == 0 {
        let id = Int(truncatingIfNeeded: entry & 0xFFFF_FFFF) - 1
        if unsafe tokens.matches(id, text, length) { return id }
      }
      slot = (slot + 1) & mask
    }
  }
}

/// A 64-bit hash of `length` bytes: 8-byte words folded through a 128-bit product, the last one
/// overlapping its neighbour so that no byte past the end is read.
@inline(__always)
func pieceHash(_ text: UnsafePointer<UInt8>, _ length: Int) -> UInt64 {
  let first: UInt64 = 0x9E37_79B9_7F4A_7C15
  let second: UInt64 = 0xD6E8_FEB8_6659_FD93
  let raw = unsafe UnsafeRawPointer(text)
  var hash = UInt64(truncatingIfNeeded: length) &* second
  var last: UInt64
  if length >= 8 {
    var offset = 0
    while offset + 8 < length {
      let word = unsafe raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      hash = fold(hash ^ word, first)
      offset += 8
    }
    last = unsafe raw.loadUnaligned(fromByteOffset: length - 8, as: UInt64.self)
  } else if length >= 4 {
    let low = unsafe raw.loadUnaligned(fromByteOffset: 0, as: UInt32.self)
    let high = unsafe raw.loadUnaligned(fromByteOffset: length - 4, as: UInt32.self)
    last = UInt64(high) << 32 | UInt64(low)
  } else {
    last = unsafe UInt64(text[0]) << 16 | UInt64(text[length >> 1]) << 8 | UInt64(text[length - 1])
  }
  last ^= second
  hash = fold(hash ^ last, first)
  return hash ^ hash >> 32
}

@inline(__always)
private func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
  let product = a.multipliedFullWidth(by: b)
  return product.high ^ product.low
}
