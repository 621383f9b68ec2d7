// Every backend, instruction set, thread count and kind of traffic gives the reference's bits, over
// random shapes, positions, options and memory alignments.

import EmbedKernel
import ReferenceKernels
import TestSupport
import Testing

@Suite struct ForwardPropertyTests {
  @Test(arguments: 0..<40 as Range<UInt64>)
  func randomPassesHaveTheReferencesBits(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let case_ = RandomPass(&random, seed: seed)
    for way in Way.all {
      let misalignment = Int.random(in: 0...17, using: &random)
      let output = try embed(
        way, ids: case_.ids.map { Int32($0) }, tokens: case_.tokens, positions: case_.positions,
        shape: case_.shape, at: case_.place, options: case_.options, misalignment: misalignment)
      expectSameBits(output, case_.expected, "\(case_), \(way), misaligned by \(misalignment)")
    }
  }

  /// Dims around every lane count, where tails begin and end.
  @Test(arguments: [
    1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 130, 2_100,
  ])
  func everyTailLengthHasTheReferencesBits(dim: Int) throws {
    var random = SeededGenerator(seed: UInt64(dim))
    let shape = EmbeddingShape(vocabulary: 23, batch: 3, context: 5, dim: dim)
    let ids = (0..<15).map { _ in Int.random(in: 0..<23, using: &random) }
    let (tokens, positions) = (random.floats(23 * dim), random.floats(5 * dim))
    for scale in [1, 0, -0.5, 3.7] as [Float] {
      let places = (0..<15).map { $0 % 5 }
      let sum = Reference.embed(
        ids: ids, tokens: tokens, positions: positions, places: places, dim: dim, scale: scale)
      let product = Reference.embed(
        ids: ids, tokens: tokens, positions: nil, places: places, dim: dim, scale: scale)
      for way in Way.all {
        for misalignment in [0, 5] {
          let options = EmbedOptions(scale: scale)
          let what = "dim \(dim), scale \(scale), \(way), misaligned by \(misalignment)"
          let withPositions = try embed(
            way, ids: ids, tokens: tokens, positions: positions, shape: shape, options: options,
            misalignment: misalignment)
          expectSameBits(withPositions, sum, what)
          let without = try embed(
            way, ids: ids, tokens: tokens, positions: nil, shape: shape, options: options,
            misalignment: misalignment)
          expectSameBits(without, product, "\(what), no positions")
        }
      }
    }
  }

  @Test func extremeValuesHaveTheReferencesBits() throws {
    let special: [Float] = [
      .infinity, -.infinity, .nan, 0, -0.0, .leastNonzeroMagnitude, -.leastNonzeroMagnitude,
      .greatestFiniteMagnitude, .leastNormalMagnitude, 1, -1, 0x1p-149, 3, -3, 0.1, 1e38,
    ]
    // One operand at most is NaN: which payload survives two NaNs is the processor's choice.
    let tokens = special + special.reversed()
    let positions = special.map { $0.isNaN ? 2 : $0 }
    let shape = EmbeddingShape(vocabulary: 2, batch: 2, context: 1, dim: 16)
    for scale in [1, 0, 2, -1e30] as [Float] {
      let expected = Reference.embed(
        ids: [1, 0], tokens: tokens, positions: positions, places: [0, 0], dim: 16, scale: scale)
      for way in Way.all {
        let output = try embed(
          way, ids: [1, 0] as [Int32], tokens: tokens, positions: positions, shape: shape,
          options: EmbedOptions(scale: scale))
        // 0 * infinity and infinity - infinity make NaNs whose sign x86 sets and others do not.
        for i in 0..<32 where !(output[i].isNaN && expected[i].isNaN) {
          #expect(output[i].bitPattern == expected[i].bitPattern, "element \(i), \(way)")
        }
      }
    }
  }

  @Test func eachIntegerTypeOfIdsGivesTheSame() throws {
    var random = SeededGenerator(seed: 5)
    let ids = (0..<12).map { _ in Int.random(in: 0..<9, using: &random) }
    let (tokens, positions) = (random.floats(9 * 20), random.floats(4 * 20))
    let shape = EmbeddingShape(vocabulary: 9, batch: 3, context: 4, dim: 20)
    let expected = Reference.embed(
      ids: ids, tokens: tokens, positions: positions, places: (0..<12).map { $0 % 4 }, dim: 20)
    func check<ID: TokenID>(_ ids: [ID]) throws {
      for kernels in [Kernels.auto, .openBLAS, .simd, .native] {
        var output = [Float](repeating: .nan, count: expected.count)
        var span = output.mutableSpan
        try kernels.embed(
          ids: ids.span, tokens: tokens.span, positions: positions.span, shape: shape, into: &span)
        expectSameBits(output, expected, "\(ID.self), \(kernels)")
      }
    }
    try check(ids.map { Int32($0) })
    try check(ids.map { Int64($0) })
    try check(ids)
  }
}

/// A pass drawn at random, and its expected output.
private struct RandomPass: CustomStringConvertible {
  let seed: UInt64
  let shape: EmbeddingShape
  let ids: [Int]
  let tokens: [Float]
  let positions: [Float]?
  let place: PositionIDs
  let kind: String
  let options: EmbedOptions
  let expected: [Float]

  var description: String { "seed \(seed), \(shape), \(kind) positions, scale \(options.scale)" }

  init(_ random: inout SeededGenerator, seed: UInt64) {
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    let dim = [pick(1...40), pick(1...300), pick(1_000...2_100)][pick(0...2)]
    let (batch, context) = [(1, pick(1...20)), (pick(1...20), 1), (pick(2...6), pick(2...9))][
      pick(0...2)]
    let vocabulary = pick(1...200)
    let tokenCount = batch * context
    let maximum = tokenCount + pick(1...4)
    var places: [Int]
    switch pick(0...5) {
    case 0:
      let offset = pick(0...(maximum - context))
      places = (0..<tokenCount).map { offset + $0 % context }
      (place, kind) = (.sequential(offset: offset), "sequential")
    case 1:
      let offsets = (0..<batch).map { _ in pick(0...(maximum - context)) }
      places = (0..<tokenCount).map { offsets[$0 / context] + $0 % context }
      (place, kind) = (.offsets(offsets.map { Int32($0) }), "offset")
    case 2:
      places = (0..<tokenCount).map { _ in pick(0...(maximum - 1)) }
      (place, kind) = (.explicit(places.map { Int32($0) }), "explicit")
    case 3:
      let row = (0..<context).map { _ in pick(0...(maximum - 1)) }
      places = (0..<tokenCount).map { row[$0 % context] }
      (place, kind) = (.explicit(row.map { Int32($0) }), "shared explicit")
    case 4:
      let cuts = [0] + (0..<pick(0...5)).map { _ in pick(0...tokenCount) }.sorted() + [tokenCount]
      places = (0..<tokenCount).map { token in token - (cuts.last { $0 <= token } ?? 0) }
      (place, kind) = (.packed(cumulativeLengths: cuts.map { Int32($0) }), "packed")
    default:
      let mask = (0..<tokenCount).map { _ in UInt8(pick(0...3) == 0 ? 0 : 1) }
      places = (0..<tokenCount).map { token in
        let before = mask[token / context * context..<token].reduce(0) { $0 + Int($1) }
        return mask[token] == 0 ? 0 : before
      }
      (place, kind) = (.mask(mask), "masked")
    }
    self.seed = seed
    shape = EmbeddingShape(vocabulary: vocabulary, batch: batch, context: context, dim: dim)
    ids = (0..<tokenCount).map { _ in pick(0...(vocabulary - 1)) }
    options = EmbedOptions(scale: [1, Float(dim).squareRoot(), -0.3][pick(0...2)])
    tokens = random.floats(vocabulary * dim)
    positions = pick(0...4) == 0 ? nil : random.floats(maximum * dim)
    expected = Reference.embed(
      ids: ids, tokens: tokens, positions: positions, places: places, dim: dim,
      scale: options.scale)
  }
}
