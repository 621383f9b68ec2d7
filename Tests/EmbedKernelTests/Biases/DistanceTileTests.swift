// Tiles of every size around the steps of the vector kernels: what is added must be the table's
// entry of each logit's distance, and nothing beside the tile may change.

import EmbedKernel
import TestSupport
import Testing

@Suite struct DistanceTileTests {
  struct Tile: Sendable, CustomTestStringConvertible {
    let queries: Int
    let keys: Int
    let firstQuery: Int
    let firstKey: Int
    var testDescription: String { "\(queries)x\(keys) at \(firstQuery), \(firstKey)" }
  }

  /// Rows of 1 to more than two groups of four, columns around 16, 32 and 64, queries before, within
  /// and after the keys.
  static let tiles: [Tile] = [1, 3, 4, 11].flatMap { queries in
    [1, 31, 32, 64, 101].flatMap { keys in
      [(0, 0), (50, 20), (7, 30), (0, 120)].map {
        Tile(queries: queries, keys: keys, firstQuery: $0.0, firstKey: $0.1)
      }
    }
  }

  /// Every backend and instruction set of this machine, on one thread and on two.
  private static let kernels: [Kernels] =
    ([.openBLAS, .simd]
    + InstructionSet.allCases.filter(\.isAvailable).map {
      Kernels(backend: .native, instructionSet: $0)
    }).flatMap { [$0.threads(1), $0.threads(2)] }

  @Test func everyTileHasTheFormulasBits() throws {
    for tile in Self.tiles {
      try check(Float.self, tile) {
        $0
      } widen: {
        $0
      }
      try check(BFloat16.self, tile) {
        BFloat16($0)
      } widen: {
        $0.float
      }
      try check(Half.self, tile) {
        Half($0)
      } widen: {
        $0.float
      }
    }
  }

  private func check<Element: TableElement>(
    _ type: Element.Type, _ tile: Tile, _ round: (Float) -> Element, widen: (Element) -> Float
  ) throws {
    let alibi = try ALiBi(heads: 3, direction: .symmetric)
    let count = 3 * tile.queries * tile.keys
    // Guards on both sides.
    let guards = 40
    let before = (0..<count + 2 * guards).map { round(Float($0 % 17) - 8) }
    for isCausal in [false, true] {
      let expected = before.indices.map { i -> Float in
        let at = i - guards
        guard at >= 0, at < count else { return widen(before[i]) }
        let (lane, key) = at.quotientAndRemainder(dividingBy: tile.keys)
        let distance = tile.firstQuery + lane % tile.queries - tile.firstKey - key
        if isCausal && distance < 0 { return -.infinity }
        let entry = Float(alibi.value(head: lane / tile.queries, distance: distance))
        return widen(round(widen(before[i]) + entry))
      }
      for kernels in Self.kernels {
        // A table that reaches no further than the tile: what is read beyond it is out of bounds.
        let table = try DistanceTable(alibi)
        var logits = before
        try unsafe logits.withUnsafeMutableBufferPointer { all throws(EmbedError) in
          var tiles = unsafe UnsafeMutableBufferPointer(rebasing: all[guards..<guards + count])
          try unsafe kernels.addBias(
            table, to: &tiles,
            shape: AttentionShape(heads: 3, queries: tile.queries, keys: tile.keys),
            queries: .sequential(offset: tile.firstQuery),
            keys: .sequential(offset: tile.firstKey), mask: isCausal ? .causal : [])
        }
        expectSameBits(
          logits.map(widen), expected, "\(type), \(tile.testDescription), \(isCausal), \(kernels)")
      }
    }
  }

  /// Windows of any size, at any offset, with offsets for each sequence: the distance alone counts.
  @Test(arguments: ["alibi", "symmetric", "t5", "decoder"])
  func shiftingAWindowChangesNothing(_ scheme: String) throws {
    var random = SeededGenerator(seed: 7)
    let values = (0..<64).map { _ in Float.random(in: 0.1...1.5, using: &random) }
    let span = values.span
    let weights = try EmbeddingTable(rows: 32, dim: 2, copying: span)
    let formula: any DistanceBias =
      switch scheme {
      case "alibi": try ALiBi(heads: 2)
      case "symmetric": try ALiBi(heads: 2, direction: .symmetric)
      case "t5": try T5Bias(DistanceBuckets(direction: .bidirectional), weights: weights)
      default: try T5Bias(DistanceBuckets(direction: .causal), weights: weights)
      }
    let bias = try DistanceTable(formula)
    for (queries, keys) in [(1, 200), (16, 16), (33, 70)] {
      let shape = AttentionShape(batch: 2, heads: 2, queries: queries, keys: keys)
      func write<Element: TableElement>(
        _ zero: Element, _ queryPlace: PositionIDs, _ keyPlace: PositionIDs
      ) throws -> [Element] {
        var output = [Element](repeating: zero, count: 4 * queries * keys)
        var span = output.mutableSpan
        try Kernels.auto.writeBias(
          bias, into: &span, shape: shape, queries: queryPlace, keys: keyPlace, mask: .causal)
        return output
      }
      let reference = try write(Float(0), .sequential(offset: 100), .sequential(offset: 60))
      let half = try write(BFloat16(0), .sequential(offset: 100), .sequential(offset: 60))
      for shift in [1, 31, 4_096, 2_000_000] {
        let moved = try write(
          Float(0), .sequential(offset: 100 + shift), .sequential(offset: 60 + shift))
        expectSameBits(moved, reference, "\(scheme), \(queries)x\(keys), by \(shift)")
        let each = try write(
          Float(0), .offsets([Int32(100 + shift), 100]), .offsets([Int32(60 + shift), 60]))
        expectSameBits(each, reference, "\(scheme), \(queries)x\(keys), one sequence by \(shift)")
        let movedHalf = try write(
          BFloat16(0), .sequential(offset: 100 + shift), .sequential(offset: 60 + shift))
        #expect(movedHalf == half)
      }
      // Down a diagonal nothing changes either.
      for lane in 0..<4 {
        for i in 1..<queries {
          for j in 1..<keys {
            let at = (lane * queries + i) * keys + j
            if reference[at].bitPattern != reference[at - keys - 1].bitPattern {
              Issue.record("\(scheme), \(lane), \(i), \(j)")
              return
            }
          }
        }
      }
    }
  }
}
