// Which two neighbouring tokens may merge, into which token, and how early: the rules of byte-pair
// encoding as one open-addressing table keyed by the pair of ids.

internal import CTokenizer

/// What a pair merges into. A lower rank merges first.
struct Merge: Sendable {
  var rank: UInt32
  var id: UInt32

  /// No merge: ranks after every rule's.
  static let none = Merge(rank: .max, id: 0)
}

/// Merges by pair of ids, as a vocabulary's rules are collected: linear probing, at most half full.
struct PairTable {
  /// Free where the key is all ones.
  private(set) var slots: [ek_pair]
  private(set) var count = 0

  init(capacity: Int) {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    slots = Array(repeating: ek_pair(key: .max, rank: 0, id: 0), count: size)
  }

  /// Adds a rule. The first rule of a pair stands: returns false for a later one.
  mutating func insert(_ left: UInt32, _ right: UInt32, _ merge: Merge) -> Bool {
    if (count + 1) * 2 > slots.count {
      let old = slots
      slots = Array(repeating: ek_pair(key: .max, rank: 0, id: 0), count: old.count * 2)
      for entry in old where entry.key != .max { slots[index(of: entry.key)] = entry }
    }
    let key = UInt64(left) << 32 | UInt64(right)
    let slot = index(of: key)
    guard slots[slot].key == .max else { return false }
    slots[slot] = ek_pair(key: key, rank: merge.rank, id: merge.id)
    count += 1
    return true
  }

  /// The slot of `key`, or the free one where it belongs.
  @inline(__always)
  private func index(of key: UInt64) -> Int {
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: ek_pair_hash(key)) & mask
    while slots[slot].key != key, slots[slot].key != .max { slot = (slot + 1) & mask }
    return slot
  }
}
