// Row groups against a stable sort of the standard library, for every thread count, id width and
// policy.

import EmbedKernel
import TestSupport
import Testing

@Suite struct RowGroupsTests {
  @Test(arguments: 0..<60 as Range<UInt64>)
  func groupsAreAStableSort(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let sizes = [0, 1, 2, 31, 64, 65, 200, 3_000, 32_768, 70_001]
    let n = sizes[Int(seed) % sizes.count]
    let vocabularies = [1, 2, 7, 300, 2_048, 50_257, 128_256, 5_000_000, Int(Int32.max) - 1]
    let vocabulary = vocabularies[Int.random(in: 0..<vocabularies.count, using: &random)]
    let hot = Int.random(in: 0..<vocabulary, using: &random)
    let hotShare = [0, 0.5, 0.9, 1][Int(seed) % 4]
    let ids = (0..<n).map { _ in
      Double.random(in: 0..<1, using: &random) < hotShare
        ? hot : Int.random(in: 0..<vocabulary, using: &random)
    }
    let padding = Bool.random(using: &random) ? hot : nil
    let narrow = ids.map { Int32($0) }
    let expected = Expected(ids, padding: padding)
    var groups = try RowGroups()
    for threads in [1, 2, 3, 7] {
      try groups.group(
        narrow.span, context: max(1, n), vocabulary: vocabulary,
        paddingID: padding, threads: threads)
      expected.check(groups, "seed \(seed), \(n) tokens, \(vocabulary) rows, \(threads) threads")
      try groups.group(
        ids.span, context: max(1, n), vocabulary: vocabulary, paddingID: padding, threads: threads)
      expected.check(groups, "seed \(seed), \(n) wide tokens, \(threads) threads")
    }
  }

  @Test func unknownIDsBelongToTheRowTheyRead() throws {
    var groups = try RowGroups(capacity: 6)
    let ids = [-1, 4, 9, 0, 5, 4]
    try groups.group(ids.span, context: 6, vocabulary: 5, unknownIDs: .clamp)
    Expected([0, 4, 4, 0, 4, 4], padding: nil).check(groups, "clamped")
    try groups.group(ids.span, context: 6, vocabulary: 5, paddingID: 0, unknownIDs: .clamp)
    Expected([0, 4, 4, 0, 4, 4], padding: 0).check(groups, "clamped onto padding")
    try groups.group(ids.span, context: 6, vocabulary: 5, unknownIDs: .zeroRow)
    Expected([-1, 4, -1, 0, -1, 4], padding: -1).check(groups, "zero row")
  }

  @Test func badIDsAreNamedAndKeepTheGroups() throws {
    var groups = try RowGroups()
    let good: [Int32] = [3, 1, 3]
    try groups.group(good.span, context: 3, vocabulary: 4)
    let bad: [Int32] = [0, 1, 2, 3, 0, 4]
    #expect(
      throws: EmbedError.tokenOutOfRange(id: 4, batchRow: 1, position: 2, vocabulary: 4)
    ) { try groups.group(bad.span, context: 3, vocabulary: 4) }
    Expected([3, 1, 3], padding: nil).check(groups, "after an error")
    for vocabulary in [0, -1, Int(Int32.max)] {
      #expect(throws: EmbedError.self) {
        try groups.group(good.span, context: 3, vocabulary: vocabulary)
      }
    }
  }

  /// What a stable sort gives.
  private struct Expected {
    var rows: [Int32] = []
    var offsets: [Int32] = [0]
    var tokens: [Int32] = []

    init(_ ids: [Int], padding: Int?) {
      let sorted = ids.indices.filter { ids[$0] != padding }
        .sorted { (ids[$0], $0) < (ids[$1], $1) }
      for token in sorted {
        if rows.last.map({ Int($0) }) != ids[token] {
          rows.append(Int32(ids[token]))
          offsets.append(0)
        }
        tokens.append(Int32(token))
        offsets[offsets.count - 1] = Int32(tokens.count)
      }
    }

    func check(_ groups: borrowing RowGroups, _ what: String) {
      #expect(groups.count == rows.count, "\(what)")
      #expect(groups.tokenCount == tokens.count, "\(what)")
      #expect(array(groups.rowIDs) == rows, "\(what)")
      #expect(array(groups.offsets) == offsets, "\(what)")
      #expect(array(groups.tokens) == tokens, "\(what)")
    }

    private func array(_ span: Span<Int32>) -> [Int32] { span.indices.map { span[$0] } }
  }
}
