// Biases on logits of two bytes: floats of arithmetic and one rounding, held to the same call on
// floats and to Double formulas.

import EmbedKernel
import EmbedSchemes
import TestSupport
import Testing

@Suite struct ElementBiasTests {
  /// Every backend and instruction set, on two threads.
  private static let kernels = BiasFixtureTests.kernels.filter { $0.threads == 2 }

  /// Widens, so that a float call can be made of a 16-bit one.
  private func widened<Element: SixteenBitElement>(_ values: [Element]) -> [Float] {
    values.map(\.float)
  }

  private func expectSame<Element: SixteenBitElement>(
    _ actual: [Element], _ expected: [Element], _ what: @autoclosure () -> String
  ) {
    guard actual.count == expected.count else {
      Issue.record("\(what()): \(actual.count) elements instead of \(expected.count)")
      return
    }
    for (i, (a, e)) in zip(actual, expected).enumerated() where a.bitPattern != e.bitPattern {
      Issue.record("\(what()): element \(i) is \(a.float) instead of \(e.float)")
      return
    }
  }

  @Test(arguments: BiasScheme.allCases, BiasPlacement.all.inDebug(every: 3))
  func oneRoundingOfTheFloats(_ scheme: BiasScheme, _ place: BiasPlacement) throws {
    try check(BFloat16.self, scheme, place)
    try check(Half.self, scheme, place)
  }

  private func check<Element: SixteenBitElement>(
    _ type: Element.Type, _ scheme: BiasScheme, _ place: BiasPlacement
  ) throws {
    let shape = BiasPropertyTests.shape
    let bias = try scheme.make(heads: shape.heads)
    var random = SeededGenerator(seed: 13)
    let count = shape.batch * shape.heads * shape.queries * shape.keys
    let logits = random.floats(count).map { Element($0) }
    for mask in BiasPropertyTests.masks {
      let expected = BiasPropertyTests.expected(bias, place, mask, widened(logits))
        .map { Element($0) }
      let zeros = [Float](repeating: 0, count: count)
      let written = BiasPropertyTests.expected(bias, place, mask, zeros).map { Element($0 + 0) }
      for kernels in Self.kernels {
        let what = "\(scheme), \(place.name), mask \(mask.rawValue), \(type), \(kernels)"
        var output = logits
        var span = output.mutableSpan
        try kernels.addBias(
          bias, to: &span, shape: shape, queries: place.queries, keys: place.keys, mask: mask)
        expectSame(output, expected, what)
        var fresh = [Element](repeating: Element(.nan), count: count)
        var freshSpan = fresh.mutableSpan
        try kernels.writeBias(
          bias, into: &freshSpan, shape: shape, queries: place.queries, keys: place.keys,
          mask: mask)
        // Writing keeps a -0 that adding to zero turns into 0.
        expectSame(fresh.map { Element($0.float + 0) }, written, "\(what), written")
      }
    }
  }

  /// Half the spacing of bfloat16 or half at the sum, and the float sum's own rounding.
  @Test(arguments: [BiasScheme.alibi, .t5, .kerple, .sandwich])
  func withinHalfAStepOfTheDoubleFormula(_ scheme: BiasScheme) throws {
    try checkBound(BFloat16.self, scheme, digits: 8)
    try checkBound(Half.self, scheme, digits: 11)
  }

  private func checkBound<Element: SixteenBitElement>(
    _ type: Element.Type, _ scheme: BiasScheme, digits: Int
  ) throws {
    let bias = try #require(try scheme.make(heads: 2) as? DistanceTable)
    var random = SeededGenerator(seed: 17)
    let logits = (0..<2 * 40 * 600).map { _ in
      Element(Float.random(in: -4...4, using: &random))
    }
    for kernels in Self.kernels {
      var output = logits
      var span = output.mutableSpan
      try kernels.addBias(
        bias, to: &span, shape: AttentionShape(heads: 2, queries: 40, keys: 600),
        queries: .sequential(offset: 560))
      for (i, value) in output.enumerated() {
        let entry = bias.value(head: i / 24_000, query: 560 + i / 600 % 40, key: i % 600)
        let exact = Double(logits[i].float) + entry
        let step = Double(sign: .plus, exponent: -digits, significand: 1)
        let bound = abs(exact) * step * 1.001 + abs(entry) * 0x1p-23 + 0x1p-25
        if !(abs(Double(value.float) - exact) <= bound) {
          Issue.record("\(scheme), \(type), \(kernels): \(i) is \(value.float), exactly \(exact)")
          return
        }
      }
    }
  }

  /// Blocks wider than the floats on the stack, and more rows than a block has.
  @Test func wideRowsAreCutWithoutATrace() throws {
    var random = SeededGenerator(seed: 19)
    let (queries, keys) = (70, 1_100)
    let shape = AttentionShape(heads: 2, queries: queries, keys: keys)
    let queryPlace = PositionIDs.explicit((0..<queries).map { Int32(1_030 + $0) })
    let keyPlace = PositionIDs.explicit((0..<keys).map { Int32($0) })
    let logits = (0..<2 * queries * keys).map { _ in
      BFloat16(Float.random(in: -1...1, using: &random))
    }
    let count = FIRE.parameterCount(heads: 2, width: 8)
    let parameters = (0..<count).map { _ in Float.random(in: 0.1...1, using: &random) }
    let biases: [any AttentionBias] = [
      try DistanceTable(ALiBi(heads: 2)),
      try FIRE(heads: 2, width: 8, parameters: makeTable(parameters, dim: count)),
    ]
    for bias in biases {
      for threads in [1, 2] {
        let kernels = Kernels(threads: threads)
        var floats = widened(logits)
        var floatSpan = floats.mutableSpan
        try kernels.addBias(
          bias, to: &floatSpan, shape: shape, queries: queryPlace, keys: keyPlace, mask: .causal)
        var output = logits
        var span = output.mutableSpan
        try kernels.addBias(
          bias, to: &span, shape: shape, queries: queryPlace, keys: keyPlace, mask: .causal)
        expectSame(output, floats.map { BFloat16($0) }, "\(bias.name), \(threads) threads")
      }
    }
  }

  @Test func gradientsAreThoseOfTheWidenedLogits() throws {
    try checkGradient(BFloat16.self)
    try checkGradient(Half.self)
  }

  private func checkGradient<Element: SixteenBitElement>(_ type: Element.Type) throws {
    var random = SeededGenerator(seed: 23)
    let shape = AttentionShape(batch: 2, heads: 3, queries: 45, keys: 600)
    let upstream = (0..<2 * 3 * 45 * 600).map { _ in
      Element(Float.random(in: -1...1, using: &random))
    }
    let floats = widened(upstream)
    for scheme in [BiasScheme.t5, .kerple] {
      let bias = try #require(try scheme.make(heads: 3) as? DistanceTable)
      for kernels in Self.kernels {
        var workspace = try BiasWorkspace()
        var (typed, plain) = (
          [Float](repeating: 0, count: bias.parameterCount),
          [Float](repeating: 0, count: bias.parameterCount)
        )
        var typedSpan = typed.mutableSpan
        var plainSpan = plain.mutableSpan
        try kernels.addBiasGradient(
          bias, logitsGradient: upstream.span, shape: shape, queries: .sequential(offset: 555),
          mask: .causal, workspace: &workspace, into: &typedSpan)
        try kernels.addBiasGradient(
          bias, logitsGradient: floats.span, shape: shape, queries: .sequential(offset: 555),
          mask: .causal, workspace: &workspace, into: &plainSpan)
        expectSameBits(typed, plain, "\(scheme), \(type), \(kernels)")
      }
    }
  }
}
