// Bags against plain loops, bit for bit, in every way there is of computing them.

import EmbedKernel
import EmbedRows
import ReferenceKernels
import Testing

@Suite struct BagForwardTests {
  @Test(arguments: BagCase.all, BagPool.allCases)
  func bitsAreThoseOfPlainLoops(_ c: BagCase, pool: BagPool) throws {
    let expected = c.expected(pool).output
    for (name, kernels) in everyWay() {
      #expect(sameBits(try c.output(pool, by: kernels), expected), "\(name)")
    }
  }

  @Test(arguments: BagCase.all)
  func weightedSumsToo(_ c: BagCase) throws {
    let expected = c.expected(.sum, weights: c.weights).output
    for (name, kernels) in everyWay() {
      #expect(sameBits(try c.output(.sum, weights: c.weights, by: kernels), expected), "\(name)")
    }
  }

  @Test(arguments: BagCase.all, BagLayout.allCases)
  func layoutsAreAlike(_ c: BagCase, layout: BagLayout) throws {
    guard c.has(layout) else { return }
    let expected = c.expected(.sum, weights: c.weights).output
    for threads in [1, 3] {
      var kernels = Kernels(threads: threads)
      kernels.tuning = Tuning()
      kernels.tuning?.parallelBytes = 64
      let output = try c.output(.sum, weights: c.weights, told: layout, by: kernels)
      #expect(sameBits(output, expected), "\(threads) threads")
    }
  }

  @Test(arguments: BagCase.all)
  func winnersAreTheFirstOfTheLargest(_ c: BagCase) throws {
    let expected = c.expected(.max)
    let table = try EmbeddingTable<Float>(rows: c.vocabulary, dim: c.dim, copying: c.table.span)
    let (ids, offsets) = (c.ids.map(Int32.init), c.offsets)
    for (name, kernels) in everyWay() {
      var output = [Float](repeating: .nan, count: c.lengths.count * c.dim)
      var winners = [Int32](repeating: -7, count: output.count)
      try kernels.bag(
        maximumOf: ids, in: .offsets(offsets), tokens: table, options: c.options, into: &output,
        winners: &winners)
      #expect(sameBits(output, expected.output), "\(name)")
      #expect(winners == expected.winners, "\(name)")
    }
  }

  /// Bags of one id among others, whose rows are copied where they and the output's start lines.
  @Test(arguments: [32, 48, 64, 288])
  func onlyRowsAreAddedToZero(dim: Int) throws {
    var c = BagCase(name: "ones", lengths: [1, 1, 1, 2, 0, 1, 1], dim: dim)
    c.seed = 5
    let zeros =
      [-0.0, 0, -Float.infinity] + [Float](repeating: -0.0, count: c.vocabulary * dim - 3)
    for table in [c.table, zeros] {
      let expected = Reference.bag(
        c.reads, lengths: c.lengths, weights: nil, table: table, dim: dim, pool: .sum
      ).output
      let rows = try EmbeddingTable<Float>(rows: c.vocabulary, dim: dim, copying: table.span)
      for (name, kernels) in everyWay() {
        var output = try AlignedBuffer<Float>(count: expected.count)
        try kernels.bag(
          ids: c.ids, in: .lengths(c.lengths), tokens: rows, pool: .sum, into: &output)
        #expect(sameBits(output.span.array, expected), "\(name)")
      }
    }
  }

  @Test(arguments: BagPool.allCases)
  func numbersThatAreNoneFollowTheOrder(_ pool: BagPool) throws {
    // A sum has them; a maximum where they come first, as PyTorch's.
    let table: [Float] = [.nan, 1, 2, -0.0, .infinity, -.infinity]
    for ids in [[0, 1, 2], [1, 0, 2], [3], [4, 5], [5, 4], [2, 2]] {
      let expected = Reference.bag(
        ids.map { .row($0) }, lengths: [ids.count], weights: nil, table: table, dim: 1,
        pool: pool.reference
      ).output
      let rows = try EmbeddingTable<Float>(rows: 6, dim: 1, copying: table.span)
      for (name, kernels) in everyWay() {
        var output: [Float] = [7]
        try kernels.bag(
          ids: ids, in: .rectangle(batch: 1, bag: ids.count), tokens: rows, pool: pool,
          into: &output)
        #expect(
          output[0].isNaN ? expected[0].isNaN : sameBits(output, expected), "\(name) of \(ids)")
      }
    }
  }

  @Test(arguments: BagPool.allCases)
  func sixteenBitElementsAreWidenedAndRoundedOnce(_ pool: BagPool) throws {
    let c = BagCase(name: "ragged", lengths: BagCase.ragged, dim: 70)
    try check(c, pool, BFloat16.self)
    try check(c, pool, Half.self)
  }

  private func check<Element: SixteenBitElement & Equatable>(
    _ c: BagCase, _ pool: BagPool, _ type: Element.Type
  ) throws {
    let floats = try EmbeddingTable<Float>(rows: c.vocabulary, dim: c.dim, copying: c.table.span)
    let table = try EmbeddingTable<Element>(rounding: floats)
    let widened = try table.widened()
    let wide = unsafe Array(widened.unsafeBuffer)
    let expected = c.expected(pool, table: wide).output
    let (ids, lengths) = (c.ids, c.lengths)
    for (name, kernels) in everyWay() {
      var output = [Float](repeating: .nan, count: expected.count)
      try kernels.bag(ids: ids, in: .lengths(lengths), tokens: table, pool: pool, into: &output)
      #expect(sameBits(output, expected), "\(name)")
      var narrow = [Element](repeating: Element(0), count: expected.count)
      try kernels.bag(ids: ids, in: .lengths(lengths), tokens: table, pool: pool, into: &narrow)
      #expect(narrow.map(\.bitPattern) == expected.map { Element($0).bitPattern }, "\(name)")
      try kernels.bag(ids: ids, in: .lengths(lengths), tokens: widened, pool: pool, into: &narrow)
      #expect(narrow.map(\.bitPattern) == expected.map { Element($0).bitPattern }, "\(name)")
    }
  }

  @Test func quantisedRowsArePooledAsTheyDecode() throws {
    let c = BagCase(name: "ragged", lengths: BagCase.ragged, dim: 70)
    var generator = c.floats(c.vocabulary, 9).map { abs($0) + 0.5 }
    generator[0] = 1
    let scales = generator
    let bytes = c.table.map { UInt8(bitPattern: Int8(max(-127, min(127, ($0 * 8).rounded())))) }
    let scaleBytes = unsafe scales.withUnsafeBytes { unsafe Array($0) }
    let table = try RowTable(
      rows: c.vocabulary, dim: c.dim, format: .int8, copying: bytes.span, scales: scaleBytes.span)
    let decoded = bytes.enumerated().map { Float(Int8(bitPattern: $1)) * scales[$0 / c.dim] }
    let (ids, offsets, weights) = (c.ids, c.offsets, c.weights)
    for pool in BagPool.allCases {
      let expected = c.expected(
        pool, weights: pool == .sum ? weights : nil, table: decoded
      ).output
      for (name, kernels) in everyWay() {
        var output = [Float](repeating: .nan, count: expected.count)
        try kernels.bag(
          ids: ids, in: .offsets(offsets), weights: pool == .sum ? weights : nil, tokens: table,
          pool: pool, into: &output)
        #expect(sameBits(output, expected), "\(pool) \(name)")
      }
    }
  }
}
