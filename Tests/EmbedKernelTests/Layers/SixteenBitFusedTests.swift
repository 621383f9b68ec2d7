// The fused layer on 16-bit tables: the bits of the layer of the widened tables, rounded once where the
// output is of 16 bits; backward gives those of the widened tables.

import EmbedKernel
import TestSupport
import Testing

@Suite struct SixteenBitFusedTests {
  /// A random case's layer with its tables rounded, and the same with those widened again.
  private struct Pair<Element: SixteenBitElement> {
    let c: NormalizeCase
    let narrow: FusedInputEmbedding<Element>
    let wide: FusedInputEmbedding<Float>

    init(_ seed: UInt64, dim: Int? = nil, _ policies: Bool = false) throws {
      c = try NormalizeCase(seed, dim: dim)
      let (layer, embedding) = (c.layer, c.layer.embedding)
      var options = embedding.options
      if policies {
        options.unknownIDs = seed % 2 == 0 ? .clamp : .zeroRow
        options.positionOverflow = .clamp
      }
      narrow = try FusedInputEmbedding(
        tokens: EmbeddingTable(rounding: embedding.tokens.table),
        positions: embedding.positions.map { try EmbeddingTable(rounding: $0) },
        segments: layer.segments.map { try EmbeddingTable(rounding: $0) },
        normalization: layer.normalization, dropout: layer.dropout, options: options)
      wide = try FusedInputEmbedding(
        InputEmbedding(
          tokens: TokenEmbedding(table: narrow.tokens.widened()),
          positions: narrow.positions?.widened(), scale: .value(options.scale),
          unknownIDs: options.unknownIDs, positionOverflow: options.positionOverflow),
        segments: narrow.segments?.widened(), normalization: layer.normalization,
        dropout: layer.dropout)
    }

    func forward<Table: TableElement, Output: TableElement>(
      _ layer: FusedInputEmbedding<Table>, _ output: Output.Type, _ ids: [Int32], _ way: Way,
      misalignment: Int = 0
    ) throws -> [Output] {
      let count = c.tokenCount * c.shape.dim
      let buffer = try AlignedBuffer<Output>(count: count + misalignment)
      var output = unsafe UnsafeMutableBufferPointer(
        rebasing: buffer.unsafeBuffer[misalignment...])
      try unsafe layer.forward(
        ids, segmentIDs: c.segmentIDs, batch: c.shape.batch, context: c.shape.context, at: c.place,
        trainingStep: c.step, into: &output, using: way.kernels)
      return unsafe Array(output)
    }

    func expectForwards(_ ids: [Int32]) throws {
      let plain = Way(kernels: Kernels(backend: .native, instructionSet: .plain))
      let expected = try forward(wide, Float.self, ids, plain)
      for (index, way) in Way.all.enumerated() {
        let misalignment = [0, 1, 8, 16][index % 4]
        let what = "\(c), \(Element.self), \(way), misaligned by \(misalignment)"
        expectSameBits(
          try forward(narrow, Float.self, ids, way, misalignment: misalignment), expected, what)
        func expectRounded<Output: SixteenBitElement>(_ output: Output.Type) throws {
          let rounded = try forward(narrow, output, ids, way, misalignment: misalignment)
          #expect(rounded == expected.map { Output($0) }, "\(Output.self) of \(what)")
        }
        try expectRounded(BFloat16.self)
        try expectRounded(Half.self)
      }
    }

    func expectBackwards() throws {
      var random = SeededGenerator(seed: c.seed)
      let gradient = random.floats(c.tokenCount * c.shape.dim)
      func backward<Table>(_ layer: FusedInputEmbedding<Table>, _ way: Way) throws -> [Float] {
        var result = try FusedEmbeddingGradient(for: layer)
        var tables = try layer.makeTableGradient()
        try layer.backward(
          gradient, ids: c.ids, segmentIDs: c.segmentIDs, batch: c.shape.batch,
          context: c.shape.context, at: c.place, trainingStep: c.step, into: &result,
          tables: &tables, using: way.kernels)
        return floats(result) + floats(tables.tokens.values)
      }
      let expected = try backward(wide, Way.all[0])
      for way in Way.all {
        expectSameBits(try backward(narrow, way), expected, "\(c), \(Element.self), \(way)")
      }
    }
  }

  @Test(arguments: (0..<30 as Range<UInt64>).inDebug(every: 3))
  func forwardsHaveTheBitsOfTheWidenedTables(seed: UInt64) throws {
    let half = try Pair<Half>(seed)
    try half.expectForwards(half.c.ids)
    let bfloat = try Pair<BFloat16>(seed)
    try bfloat.expectForwards(bfloat.c.ids)
  }

  /// Longer rows than are kept in L1, and tails.
  @Test(arguments: [1, 15, 33, 65, 130, 2_100])
  func everyTailLengthHasTheBitsOfTheWidenedTables(dim: Int) throws {
    for seed in 200..<204 as Range<UInt64> {
      let pair = try Pair<BFloat16>(seed, dim: dim)
      try pair.expectForwards(pair.c.ids)
      try pair.expectBackwards()
    }
  }

  @Test(arguments: (0..<30 as Range<UInt64>).inDebug(every: 3))
  func backwardsHaveTheBitsOfTheWidenedTables(seed: UInt64) throws {
    try Pair<Half>(seed).expectBackwards()
    try Pair<BFloat16>(seed).expectBackwards()
  }

  /// Sums are kept in floats where rows are resolved one by one: no element is rounded twice.
  @Test(arguments: 300..<308 as Range<UInt64>)
  func idsOutsideTheTableAreResolved(seed: UInt64) throws {
    let pair = try Pair<BFloat16>(seed, true)
    var ids = pair.c.ids
    ids[0] = -1
    ids[ids.count - 1] = Int32(pair.c.shape.vocabulary)
    try pair.expectForwards(ids)
  }

  @Test func partsThatDoNotFitAreRefused() throws {
    let tokens = try EmbeddingTable<BFloat16>(rows: 3, dim: 4)
    let narrow = try EmbeddingTable<BFloat16>(rows: 3, dim: 5)
    #expect(throws: EmbedError.self) {
      try FusedInputEmbedding(tokens: tokens, positions: narrow)
    }
    #expect(throws: EmbedError.self) {
      try FusedInputEmbedding(tokens: tokens, positions: nil, segments: narrow)
    }
    #expect(throws: EmbedError.self) {
      try FusedInputEmbedding(tokens: tokens, positions: nil, normalization: .layer(dim: 5))
    }
    #expect(throws: EmbedError.self) {
      try FusedInputEmbedding(tokens: tokens, positions: nil, paddingID: 3)
    }
  }
}
