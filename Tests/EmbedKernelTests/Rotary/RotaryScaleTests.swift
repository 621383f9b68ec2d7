// A scale for each sequence by its own length, with every kind of positions.

import EmbedKernel
import Foundation
import Testing

@Suite struct RotaryScaleTests {
  private static let long = Result {
    try LongRoPEScaling(
      shortFactors: [Double](repeating: 1, count: 16),
      longFactors: (0..<16).map { 1 + Double($0) / 4 }, trainedLength: 4, factor: 4)
  }
  private static let dynamic = Result { try DynamicNTKScaling(factor: 2, trainedLength: 4) }

  struct Case: Sendable, CustomTestStringConvertible {
    var name: String
    var place: PositionIDs
    /// The tokens of each sequence, and their positions.
    var sequences: [(tokens: Range<Int>, positions: [Int32])]
    var testDescription: String { name }
  }

  /// Batches of 2 x 6 tokens.
  static let cases: [Case] = [
    Case(
      name: "offsets", place: .offsets([0, 20]),
      sequences: [(0..<6, [0, 1, 2, 3, 4, 5]), (6..<12, [20, 21, 22, 23, 24, 25])]),
    Case(
      name: "left padding", place: .mask([0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
      sequences: [(0..<6, [0, 0, 0, 0, 1, 2]), (6..<12, [0, 1, 2, 3, 4, 5])]),
    Case(
      name: "ids", place: .explicit([3, 0, 1, 2, 0, 0, 90, 0, 0, 0, 0, 0]),
      sequences: [(0..<6, [3, 0, 1, 2, 0, 0]), (6..<12, [90, 0, 0, 0, 0, 0])]),
    Case(
      // The second document goes on into the next batch row.
      name: "documents", place: .packed(cumulativeLengths: [0, 3, 3, 9, 12]),
      sequences: [
        (0..<3, [0, 1, 2]), (3..<3, []), (3..<9, [0, 1, 2, 3, 4, 5]), (9..<12, [0, 1, 2]),
      ]),
  ]

  @Test(arguments: cases, [true, false])
  func eachSequenceTakesItsOwn(_ c: Case, _ isDynamic: Bool) throws {
    let scaling: any RotaryScaling = isDynamic ? try Self.dynamic.get() : try Self.long.get()
    let embedding = try RotaryEmbedding(headDim: 32, scaling: scaling)
    let scales = try embedding.scales(at: c.place, batch: 2, context: 6)
    #expect(
      scales == c.sequences.map { scaling.scale(length: Int($0.positions.max() ?? -1) + 1) })
    #expect(Set(scales).count > 1 || !isDynamic, "the case tells nothing")
    for order in HeadOrder.allCases {
      let shape = RotaryShape(batch: 2, heads: 3, context: 6, headDim: 32, order: order)
      let x = drawn(2 * 3 * 6 * 32, seed: 3)
      // Each sequence's scale for all tokens, of which its own are then taken.
      var expected = x
      for (scale, sequence) in zip(scales, c.sequences) {
        let all = try embedding.rotated(x, shape, at: c.place, under: scale)
        for token in sequence.tokens {
          for head in 0..<3 {
            let row =
              order == .headsFirst
              ? (token / 6 * 3 + head) * 6 + token % 6 : token * 3 + head
            expected.replaceSubrange(
              row * 32..<(row + 1) * 32, with: all[row * 32..<(row + 1) * 32])
          }
        }
      }
      for kernels in exactWays {
        var y = [Float](repeating: .nan, count: x.count)
        var span = y.mutableSpan
        try embedding.rotate(
          x.span, shape: shape, at: c.place, scales: scales, into: &span, using: kernels)
        #expect(y == expected, "\(order), \(kernels)")
        var inPlace = x
        var inPlaceSpan = inPlace.mutableSpan
        try embedding.rotate(
          inPlace: &inPlaceSpan, shape: shape, at: c.place, scales: scales, using: kernels)
        #expect(inPlace == expected)
        guard isDynamic else { continue }
        // Without an attention factor, backward undoes forward.
        var back = inPlace
        var backSpan = back.mutableSpan
        try embedding.rotate(
          inPlace: &backSpan, shape: shape, at: c.place, scales: scales, .backward, using: kernels)
        #expect(relativeError(back, x.map { Double($0) }) < 3e-7)
      }
    }
  }

  @Test func aSequenceAloneIsTheSame() throws {
    // What the whole batch's longest sequence needs does not touch a shorter one.
    let embedding = try RotaryEmbedding(headDim: 32, scaling: Self.dynamic.get())
    let shape = RotaryShape(batch: 2, heads: 1, context: 2, headDim: 32)
    let x = drawn(2 * 2 * 32, seed: 3)
    let place = PositionIDs.offsets([1, 40])
    var together = x
    var span = together.mutableSpan
    try embedding.rotate(
      inPlace: &span, shape: shape, at: place,
      scales: embedding.scales(at: place, batch: 2, context: 2))
    let alone = try embedding.rotated(
      Array(x[..<64]), RotaryShape(batch: 1, heads: 1, context: 2, headDim: 32),
      at: .sequential(offset: 1))
    #expect(Array(together[..<64]) == alone)
    #expect(try embedding.rotated(x, shape, at: place)[..<64] != together[..<64])
  }

  @Test func badScalesWriteNothing() throws {
    let embedding = try RotaryEmbedding(headDim: 32, scaling: Self.dynamic.get())
    let shape = RotaryShape(batch: 2, heads: 1, context: 2, headDim: 32)
    let x = drawn(2 * 2 * 32, seed: 3)
    func error(_ place: PositionIDs, _ scales: [RotaryScale]) -> EmbedError? {
      var y = x
      var span = y.mutableSpan
      defer { #expect(y == x) }
      do throws(EmbedError) {
        try embedding.rotate(inPlace: &span, shape: shape, at: place, scales: scales)
      } catch {
        return error
      }
      return nil
    }
    #expect(
      error(.sequential(), [.trained])
        == .wrongElementCount(argument: "scales", expected: 2, shape: [2], actual: 1))
    #expect(
      error(.packed(cumulativeLengths: [0, 1, 3, 4]), [.trained, .trained])
        == .wrongElementCount(argument: "scales", expected: 3, shape: [3], actual: 2))
    #expect(
      error(.offsets([0]), [.trained, .trained])
        == .wrongElementCount(argument: "position offsets", expected: 2, shape: [2], actual: 1))
    #expect(error(.offsets([0, .max]), [.trained, .trained]) != nil)
    #expect(throws: EmbedError.self) {
      try embedding.scales(at: .sequential(offset: -1), batch: 2, context: 2)
    }
    #expect(throws: EmbedError.invalidSize(argument: "batch", value: -1, expected: "0 or more")) {
      try embedding.scales(at: .sequential(), batch: -1, context: 2)
    }
  }

  /// Angles of a single length belong to nothing but the call; their rows must be held all through.
  @Test func rowsOfASingleLength() throws {
    let embedding = try RotaryEmbedding(headDim: 8, scaling: Self.dynamic.get())
    let scale = embedding.scaling.scale(length: 5)
    #expect(scale == .length(5))
    let radians = try embedding.frequencies(under: scale).radians
    // Transformers' cosines of row 4 at length 5.
    for (pair, right) in [(0, -0.65364), (1, 0.93957)] {
      #expect(abs(cos(4 * radians[pair]) - right) < 1e-5)
    }
    for _ in 0..<100 {
      let rows = try embedding.rows(first: 0, count: 5, under: scale)
      let expected = (0..<5).flatMap { t in radians.map { Float(cos(Double(t) * $0)) } }
      #expect(rows.cosines == expected)
      #expect(rows.sines == (0..<5).flatMap { t in radians.map { Float(sin(Double(t) * $0)) } })
    }
  }

  @Test func rescalingFromNothingIsRefused() throws {
    let parts = try NTKByPartsScaling(factor: 4, trainedLength: 64)
    let embedding = try RotaryEmbedding(
      headDim: 32, scaling: YaRNScaling(parts, attentionFactor: 0))
    var keys = drawn(32, seed: 1)
    let before = keys
    var span = keys.mutableSpan
    let shape = RotaryShape(batch: 1, heads: 1, context: 1, headDim: 32)
    #expect(throws: EmbedError.self) {
      try embedding.rescale(&span, shape: shape, from: .trained, to: .extended)
    }
    #expect(keys == before)
  }
}
