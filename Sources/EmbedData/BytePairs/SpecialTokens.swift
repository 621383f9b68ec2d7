// Finds the names of special tokens in text. Few tokens, rare in text: a table of first bytes skips
// to the candidates, and the longest name that fits there wins.

#if canImport(Darwin)
  internal import Darwin
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// The special tokens of a vocabulary.
struct SpecialTokens: Sendable {
  struct Entry: Sendable {
    var name: [UInt8]
    var id: Int32
  }

  /// Longest first; of equals, by bytes, so that the order doesn't depend on hashing.
  let entries: [Entry]
  let byName: [String: Int32]
  private let isFirst: [Bool]

  init(_ tokens: [String: Int32]) {
    byName = tokens
    entries = tokens.map { Entry(name: Array($0.key.utf8), id: $0.value) }.sorted {
      $0.name.count != $1.name.count
        ? $0.name.count > $1.name.count : $0.name.lexicographicallyPrecedes($1.name)
    }
    var first = [Bool](repeating: false, count: 256)
    for entry in entries { if let byte = entry.name.first { first[Int(byte)] = true } }
    isFirst = first
  }

  /// The first special token at or after `start`.
  func next(
    _ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int
  ) -> (offset: Int, entry: Entry)? {
    guard !entries.isEmpty else { return nil }
    for position in start..<count where unsafe isFirst[Int(text[position])] {
      for entry in entries where unsafe spells(entry, text, position, count) {
        return (position, entry)
      }
    }
    return nil
  }

  /// Whether a cut at `position` might fall inside a name: some name is there across the cut, or
  /// could be once the bytes after `count` are known.
  func straddles(_ text: UnsafePointer<UInt8>, _ position: Int, _ count: Int) -> Bool {
    for entry in entries {
      for start in max(0, position - entry.name.count + 1)..<position {
        let known = min(entry.name.count, count - start)
        if unsafe spells(entry, text, start, count, upTo: known) { return true }
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
