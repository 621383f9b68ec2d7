// Which two neighbouring tokens may merge, into which token, and how early: the rules of byte-pair
// encoding as one open-addressing table keyed by the pair of ids.

/// What a pair merges into. A lower rank merges first.
struct Merge: Sendable {
  var rank: UInt32
  var id: UInt32

  /// No merge: ranks after every rule's.
  static let none = Merge(rank: .max, id: 0)
}

/// Merges by pair of ids: linear probing, at most half full.
struct PairTable: Sendable {
  private struct Slot {
    var key: UInt64
    var merge: Merge
  }

  private var slots: [Slot]
  private(set) var count = 0

  init(capacity: Int) {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    slots = Array(repeating: Slot(key: .max, merge: .none), count: size)
  }

  /// Adds a rule. The first rule of a pair stands: returns false for a later one.
  mutating func insert(_ left: UInt32, _ right: UInt32, _ merge: Merge) -> Bool {
    if (count + 1) * 2 > slots.count {
      let old = slots
      slots = Array(repeating: Slot(key: .max, merge: .none), count: old.count * 2)
      for entry in old where entry.key != .max { slots[index(of: entry.key)] = entry }
    }
    let key = UInt64(left) << 32 | UInt64(right)
    let slot = index(of: key)
    guard slots[slot].key == .max else { return false }
    slots[slot] = Slot(key: key, merge: merge)
    count += 1
    return true
  }

  /// The merge of two neighbours, or `Merge.none`.
  @inline(__always)
  func merge(_ left: UInt32, _ right: UInt32) -> Merge {
    slots[index(of: UInt64(left) << 32 | UInt64(right))].merge
  }

  /// The slot of `key`, or the free one where it belongs.
  @inline(__always)
  private func index(of key: UInt64) -> Int {
    let product = key.multipliedFullWidth(by: 0x9E37_79B9_7F4A_7C15)
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: product.high ^ product.low) & mask
    while slots[slot].key != key, slots[slot].key != .max { slot = (slot + 1) & mask }
    return slot
  }
}
