// Finds the names of special tokens in text. Few tokens, rare in text: a table of first bytes skips
// to the candidates, and the longest name that fits there wins.

internal import CSystem

/// The special tokens of a vocabulary.
struct SpecialTokens: Sendable {
  struct Entry: Sendable {
    var name: [UInt8]
    var id: Int32
  }

  let byName: [String: Int32]
  /// The bytes of the longest name; 0 where there is none.
  let longest: Int
  /// By first byte, then longest first; of equals, by bytes, so that the order doesn't depend on
  /// hashing.
  private let entries: [Entry]
  private let byID: [Int32: Int]
  /// The entries that begin with each byte.
  private let beginning: [Range<Int>]

  init(_ tokens: [String: Int32]) {
    byName = tokens
    let entries = tokens.map { Entry(name: Array($0.key.utf8), id: $0.value) }.sorted {
      guard let a = $0.name.first, let b = $1.name.first, a == b else {
        return $0.name.lexicographicallyPrecedes($1.name)
      }
      return $0.name.count != $1.name.count
        ? $0.name.count > $1.name.count : $0.name.lexicographicallyPrecedes($1.name)
    }
    var beginning = [Range<Int>](repeating: 0..<0, count: 256)
    var byID: [Int32: Int] = [:]
    for (index, entry) in entries.enumerated() {
      byID[entry.id] = index
      guard let first = entry.name.first else { continue }
      let known = beginning[Int(first)]
      beginning[Int(first)] = (known.isEmpty ? index : known.lowerBound)..<index + 1
    }
    self.entries = entries
    self.byID = byID
    self.beginning = beginning
    longest = entries.map(\.name.count).max() ?? 0
  }

  /// The special token with the id.
  subscript(id: Int32) -> Entry? { byID[id].map { entries[$0] } }

  /// The first special token at or after `start`.
  func next(
    _ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int
  ) -> (offset: Int, entry: Entry)? {
    guard !entries.isEmpty else { return nil }
    for position in start..<count {
      for index in unsafe beginning[Int(text[position])]
      where unsafe spells(entries[index], text, position, count) {
        return (position, entries[index])
      }
    }
    return nil
  }

  /// Whether a cut at `position` might fall inside a name: some name is there across the cut, or
  /// could be once the bytes after `count` are known.
  func straddles(_ text: UnsafePointer<UInt8>, _ position: Int, _ count: Int) -> Bool {
    guard !entries.isEmpty else { return false }
    for start in max(0, position - longest)..<position {
      for index in unsafe beginning[Int(text[start])] {
        let length = entries[index].name.count
        guard start + length > position else { continue }
        if unsafe spells(entries[index], text, start, count, upTo: min(length, count - start)) {
          return true
        }
      }
    }
    return false
  }

  private func spells(
    _ entry: Entry, _ text: UnsafePointer<UInt8>, _ position: Int, _ count: Int,
    upTo length: Int? = nil
  ) -> Bool {
    let length = length ?? entry.name.count
    guard count - position >= length else { return false }
    return unsafe memcmp(entry.name, text + position, length) == 0
  }
}
