// A cut inside one piece, such as a Chinese text without punctuation, or a megabyte of one letter, so
// that such a text is encoded in little memory and in time linear in its length. Write e(x) for the tokens
// that merging x gives.
//
// Merges never join what the result keeps apart, and those on one side of such a place happen as they
// would without the other side. So where a token ends in e(xy) between x and y, e(xy) = e(x) e(y); and
// e(x) e(y) is e(xy) exactly where the last token t of e(x) and the first token u of e(y) stay apart,
// that is e(tu) = t u: a merge across the place would happen in tu as well.
//
// Let h be a place in the piece up to which all bytes are known to belong to it. However the piece goes
// on, its tokens end at some last place q up to h, and the token from q on reaches past h: it is a token
// that begins with the bytes from q to h. There are few such q, all within the longest token of h. A
// place r is a cut if a token ends at r in the tokens up to each of these q: by the above, if the token
// that ends at r in e(...h) stays apart from the first token of e(r...q), for each q. It must also stand
// between two characters, as both sides are cut into pieces again.

extension BytePairTokenizer {
  /// Longer tokens than this make the search too slow to be worth it.
  private static let longestSearched = 4_096
  /// How many places are tried.
  private static let tries = 256

  /// A cut inside `piece`, with the text up to `count` known, or 0 where none is found.
  func cut(
    inside piece: Piece, _ text: UnsafePointer<UInt8>, _ count: Int, _ workspace: Workspace
  ) -> Int {
    let longest = max(1, tables.tokens.longest)
    // The last characters of a piece may turn out to be in the next one, or in a special token.
    let horizon = min(piece.range.upperBound, count - 8 - specials.longest)
    let start = piece.range.lowerBound
    // Both sides are longer than any token, so that neither is looked up whole.
    let latest = horizon - longest - 1
    guard longest <= Self.longestSearched, latest > start + longest,
      unsafe specials.next(text, 0, count) == nil
    else { return 0 }
    var ids: [Int32] = []
    unsafe merge(text, start..<horizon, workspace, &ids)
    let found = unsafe lastCut(text, start..<horizon, ids[...], workspace) { place in
      // Neither inside a character nor where what is left may be a contraction.
      unsafe place > start + longest
        && (!piece.isWellFormed || text[place] & 0xC0 != 0x80) && text[place] != UInt8(ascii: "'")
    }
    return found?.place ?? 0
  }

  /// The last place in `range` at which some of the last tokens tried end, `ids` being those of the range,
  /// however the piece goes on after it; and how many of the tokens are before it.
  private func lastCut(
    _ text: UnsafePointer<UInt8>, _ range: Range<Int>, _ ids: ArraySlice<Int32>,
    _ workspace: Workspace, where isRight: (Int) -> Bool
  ) -> (place: Int, count: Int)? {
    let latest = range.upperBound - max(1, tables.tokens.longest) - 1
    let ends = unsafe reaching(text, range.lowerBound, range.upperBound)
    var place = range.upperBound
    var tries = 0
    for count in stride(from: ids.count - 1, to: 0, by: -1) where tries < Self.tries {
      place -= tables.length(ids[ids.startIndex + count])
      guard place <= latest, isRight(place) else { continue }
      tries += 1
      let last = ids[ids.startIndex + count - 1]
      let isCut = ends.allSatisfy { unsafe staysApart(text, place, last, upTo: $0, workspace) }
      if isCut { return (place, count) }
    }
    return nil
  }

  /// Appends the ids of a piece of any length by merging alone.
  ///
  /// It goes a stretch of `stretch` bytes at a time, from cut to cut, so that time is linear in the
  /// piece and memory follows the stretch. Where a stretch has no cut it becomes twice as long.
  func mergeLong(
    _ text: UnsafePointer<UInt8>, _ range: Range<Int>, stretch: Int, _ workspace: Workspace,
    _ ids: inout [Int32]
  ) {
    var start = range.lowerBound
    let least = max(stretch, 4 * tables.tokens.longest)
    var size = least
    let canCut = tables.tokens.longest <= Self.longestSearched
    while canCut, range.upperBound - start > 2 * size {
      let known = ids.count
      unsafe merge(text, start..<start + size, workspace, &ids)
      let cut = unsafe lastCut(text, start..<start + size, ids[known...], workspace) { _ in true }
      ids.removeLast(ids.count - known - (cut?.count ?? 0))
      start = cut?.place ?? start
      size = cut == nil ? size * 2 : least
    }
    unsafe merge(text, start..<range.upperBound, workspace, &ids)
  }

  /// Whether a token ends at `place` in the tokens up to `end`, of which `last` ends there in those up
  /// to `place`.
  private func staysApart(
    _ text: UnsafePointer<UInt8>, _ place: Int, _ last: Int32, upTo end: Int,
    _ workspace: Workspace
  ) -> Bool {
    var ids: [Int32] = []
    unsafe merge(text, place..<end, workspace, &ids)
    guard let first = ids.first else { return true }
    ids.removeAll(keepingCapacity: true)
    unsafe merge(
      text, place - tables.length(last)..<place + tables.length(first), workspace, &ids)
    return ids == [last, first]
  }

  /// The places before `horizon` from which some token may reach past it.
  private func reaching(
    _ text: UnsafePointer<UInt8>, _ start: Int, _ horizon: Int
  ) -> [Int] {
    var isFound = [Bool](repeating: false, count: tables.tokens.longest + 1)
    for index in 0..<tables.tokens.count {
      let token = tables.tokens[index]
      guard token.count > 1 else { continue }
      for length in 1..<min(token.count, horizon - start + 1) where !isFound[length] {
        var same = true
        for i in 0..<length
        where unsafe token[token.startIndex + i] != text[horizon - length + i] {
          same = false
          break
        }
        if same { isFound[length] = true }
      }
    }
    return isFound.indices.filter { isFound[$0] }.map { horizon - $0 }
  }

  private func merge(
    _ text: UnsafePointer<UInt8>, _ range: Range<Int>, _ workspace: Workspace,
    _ ids: inout [Int32]
  ) {
    unsafe workspace.merger.merge(
      text + range.lowerBound, range.count, tables: tables.merges, byteIDs: tables.byteIDs,
      into: &ids)
  }
}
