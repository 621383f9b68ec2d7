// Steps of 16-bit tables: rounded at random, against steps in Float whose rows are then rounded by
// `Kernels.roundStochastically`; and with master rows, against the masters rounded to nearest.

import EmbedKernel
import TestSupport
import Testing

@Suite struct SixteenBitStepTests {
  static let rules = try? RuleCase.all(rate: .constant(0.01))

  private let rows = 40

  private func bits<Element: SixteenBitElement>(_ table: EmbeddingTable<Element>) -> [UInt16] {
    unsafe table.unsafeBuffer.map(\.bitPattern)
  }

  private func gradients(_ dim: Int, seed: UInt64) -> [[Int: [Float]]] {
    var random = SeededGenerator(seed: seed)
    return (0..<3).map { step in
      var values: [Int: [Float]] = [:]
      for row in 0..<rows where row % 4 == step % 4 || row == 7 { values[row] = random.floats(dim) }
      return values
    }
  }

  /// Normal numbers, subnormal ones of either type, and one that overflows a `Half`.
  private func start<Element: SixteenBitElement>(
    _ dim: Int, _ element: Element.Type = Element.self
  ) throws -> EmbeddingTable<Element> {
    let table = try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 0.5), seed: 3)
    for i in stride(from: 0, to: rows * dim, by: 5) { unsafe table.unsafeBuffer[i] *= 0x1p-14 }
    unsafe table.unsafeBuffer[dim] = 65_490
    return try EmbeddingTable(rounding: table)
  }

  private func state(_ optimizer: TableOptimizer) -> [[UInt8]] {
    var state: [[UInt8]] = []
    optimizer.forEachStateArray { _, bytes in state.append(copied(bytes)) }
    return state
  }

  @Test(arguments: try #require(rules), [1, 17, 100, 1_030])
  func randomRoundingIsThatOfTheKernels(_ c: RuleCase, dim: Int) throws {
    try expectRandomRounding(c, dim, BFloat16.self)
    try expectRandomRounding(c, dim, Half.self)
  }

  private func expectRandomRounding<Element: SixteenBitElement>(
    _ c: RuleCase, _ dim: Int, _ element: Element.Type
  ) throws {
    let (seed, frozen) = (UInt64(99), 7)
    let steps = gradients(dim, seed: UInt64(dim))
    // In Float from the rounded values, then rounded, row by row.
    let expected = try start(dim, element)
    let floats = try expected.widened()
    let reference = try TableOptimizer(c.rule, for: floats, frozenRow: frozen)
    for (n, values) in steps.enumerated() {
      try reference.step(sparseGradient(rows: rows, dim: dim, values))
      for row in 0..<rows where row != frozen {
        guard c.rule.untouched == .stepped || values[row] != nil else { continue }
        let stepped = unsafe Array(floats.unsafeBuffer[row * dim..<(row + 1) * dim])
        var rounded = [Element](repeating: Element(0), count: dim)
        var span = rounded.mutableSpan
        try Kernels.simd.roundStochastically(
          stepped.span, into: &span, seed: seed, stream: UInt64(n + 1), first: row * dim)
        for i in 0..<dim { unsafe expected.unsafeBuffer[row * dim + i] = rounded[i] }
      }
      let widened = try expected.widened()
      for i in 0..<rows * dim { unsafe floats.unsafeBuffer[i] = widened.unsafeBuffer[i] }
    }
    for kernels in OptimizerBitTests.ways {
      let table = try start(dim, element)
      let optimizer = try TableOptimizer(
        c.rule, for: table, updates: .stochastic(seed: seed), frozenRow: frozen)
      #expect(optimizer.table == nil && optimizer.rounded(element) === table)
      for values in steps {
        try optimizer.step(sparseGradient(rows: rows, dim: dim, values), using: kernels)
      }
      #expect(bits(table) == bits(expected), "\(c), dim \(dim), \(kernels)")
      #expect(state(optimizer) == state(reference), "state of \(c), dim \(dim), \(kernels)")
    }
  }

  @Test(arguments: [1, 17, 100, 1_030], UntouchedRows.allCases)
  func mastersStepAsFloatsAndAreRoundedToNearest(dim: Int, _ untouched: UntouchedRows) throws {
    try expectMasters(dim, untouched, BFloat16.self)
    try expectMasters(dim, untouched, Half.self)
  }

  private func expectMasters<Element: SixteenBitElement>(
    _ dim: Int, _ untouched: UntouchedRows, _ element: Element.Type
  ) throws {
    let rule = try UpdateRule.adamW(learningRate: .constant(0.01), untouched: untouched)
    let steps = gradients(dim, seed: 5)
    let plain = try start(dim, element).widened()
    let reference = try TableOptimizer(rule, for: plain)
    for values in steps {
      try prepare(reference, rows: Array(values.keys))
      try reference.step(sparseGradient(rows: rows, dim: dim, values))
    }
    for kernels in OptimizerBitTests.ways {
      let table = try start(dim, element)
      let masters = try table.widened()
      let optimizer = try TableOptimizer(rule, for: table, updates: .masters(masters))
      for values in steps {
        try prepare(optimizer, rows: Array(values.keys))
        try optimizer.step(sparseGradient(rows: rows, dim: dim, values), using: kernels)
      }
      expectSameBits(elements(masters), elements(plain), "masters, dim \(dim), \(kernels)")
      let rounded = try EmbeddingTable<Element>(rounding: masters)
      #expect(bits(table) == bits(rounded), "dim \(dim), \(kernels)")
    }
  }

  /// Updates of 1/64 of the last place: nearest rounding loses all of them, random rounding none in
  /// the mean. The sum over 4,096 elements of 256 steps has a standard deviation of
  /// sqrt(4096 * 256 * 1/64 * 63/64) last places; five of them are the tolerance.
  @Test func smallUpdatesAreNotLost() throws {
    let (dim, steps) = (512, 256)
    let ones = [Float](repeating: 1, count: 8 * dim)
    let floats = try EmbeddingTable<Float>(rows: 8, dim: dim, copying: ones.span)
    let table = try EmbeddingTable<BFloat16>(rounding: floats)
    let place = 1.0 / 128
    let optimizer = try TableOptimizer(
      .sgd(learningRate: .constant(place / 64)), for: table, updates: .stochastic(seed: 1))
    let gradient = [Float](repeating: -1, count: 8 * dim)
    for _ in 0..<steps { try optimizer.step(dense: gradient.span) }
    var moved = 0.0
    let after = try table.widened()
    for value in elements(after) { moved += (Double(value) - 1) / place }
    let expected = Double(8 * dim * steps) / 64
    #expect(abs(moved - expected) < 5 * (expected * 63 / 64).squareRoot(), "moved \(moved)")
  }

  @Test(arguments: UpdateRule.names)
  func aRunGoesOnBitForBit(_ name: String) throws {
    let dim = 19
    let rule = try UpdateRule.named(name, learningRate: .constant(0.01), untouched: .left)
    let table = try start(dim, Half.self)
    let optimizer = try TableOptimizer(rule, for: table, updates: .stochastic(seed: 4))
    let steps = gradients(dim, seed: 6)
    for values in steps { try optimizer.step(sparseGradient(rows: rows, dim: dim, values)) }
    let copy = try EmbeddingTable(rows: rows, dim: dim, copying: table.span)
    let resumed = try TableOptimizer(rule, for: copy, updates: .stochastic(seed: 4))
    let saved = state(optimizer)
    var next = 0
    try resumed.restoreState(stepCount: optimizer.stepCount) { _, bytes in
      fill(&bytes, saved[next])
      next += 1
    }
    for values in steps {
      try optimizer.step(sparseGradient(rows: rows, dim: dim, values))
      try resumed.step(sparseGradient(rows: rows, dim: dim, values))
    }
    #expect(bits(copy) == bits(table))
    #expect(state(resumed) == state(optimizer))
  }

  /// Past 65,504 a `Half` is infinite; its master is not, and brings it back.
  @Test func whatAHalfHasNoRoomForIsInfiniteUntilItsMasterReturns() throws {
    let ones = [Float](repeating: 64_992, count: 20)
    let table = try EmbeddingTable<Half>(
      rounding: EmbeddingTable<Float>(rows: 1, dim: 20, copying: ones.span))
    let masters = try table.widened()
    let rule = try UpdateRule.sgd(learningRate: .constant(1))
    let optimizer = try TableOptimizer(rule, for: table, updates: .masters(masters))
    try optimizer.step(dense: [Float](repeating: -1_000, count: 20))
    #expect(elements(masters).allSatisfy { $0 == 65_992 })
    #expect(bits(table).allSatisfy { $0 == 0x7C00 })
    try optimizer.step(dense: [Float](repeating: 2_000, count: 20))
    #expect(bits(table).allSatisfy { $0 == Half(63_992).bitPattern })

    // Without masters: half way between 65,504 and 65,536 some are the one, some infinite.
    let count = 4_096
    let alone = try EmbeddingTable<Half>(
      rows: 1, dim: count, copying: [Half](repeating: Half(65_504), count: count).span)
    let random = try TableOptimizer(rule, for: alone, updates: .stochastic(seed: 2))
    try random.step(dense: [Float](repeating: -16, count: count))
    let infinite = bits(alone).count { $0 == 0x7C00 }
    #expect(bits(alone).allSatisfy { $0 == 0x7C00 || $0 == 0x7BFF })
    #expect(abs(infinite - count / 2) < 5 * 32)
    try random.step(dense: [Float](repeating: -65_000, count: count))
    #expect(bits(alone).allSatisfy { !Half(bitPattern: $0).float.isFinite })
  }

  @Test func whatCannotBeIsRefused() throws {
    let table = try start(4, BFloat16.self)
    let rule = try UpdateRule.adamW(learningRate: .constant(0.1), untouched: .caughtUp)
    #expect(throws: EmbedError.self) {
      try TableOptimizer(rule, for: table, updates: .stochastic(seed: 1))
    }
    let other = try EmbeddingTable<Float>(rows: rows, dim: 5)
    #expect(throws: EmbedError.self) {
      try TableOptimizer(rule, for: table, updates: .masters(other))
    }
  }
}
