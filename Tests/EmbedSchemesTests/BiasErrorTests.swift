// What is wrong with a call on attention logits, and that nothing was written.

import EmbedKernel
import EmbedSchemes
import Testing

@Suite struct BiasErrorTests {
  private func add(
    _ bias: any AttentionBias, _ shape: AttentionShape, count: Int? = nil,
    queries: PositionIDs = .sequential(), keys: PositionIDs = .sequential()
  ) throws {
    var logits = [Float](
      repeating: 7, count: count ?? shape.batch * shape.heads * shape.queries * shape.keys)
    let before = logits
    var span = logits.mutableSpan
    do {
      try Kernels.auto.addBias(bias, to: &span, shape: shape, queries: queries, keys: keys)
    } catch {
      #expect(logits == before)
      throw error
    }
  }

  @Test func sizesMustFit() throws {
    let alibi = try DistanceTable(ALiBi(heads: 4))
    let shape = AttentionShape(heads: 4, queries: 3, keys: 5)
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "logits", expected: 60, shape: [1, 4, 3, 5], actual: 59)
    ) { try add(alibi, shape, count: 59) }
    #expect(
      throws: EmbedError.invalidSize(
        argument: "heads", value: 3, expected: "4, as the alibi bias has")
    ) { try add(alibi, AttentionShape(heads: 3, queries: 3, keys: 5)) }
    #expect(throws: EmbedError.invalidSize(argument: "heads", value: 0, expected: "1 or more")) {
      try add(NoBias(), AttentionShape(heads: 0, queries: 1, keys: 1))
    }
    #expect(
      throws: EmbedError.invalidSize(argument: "queries", value: -1, expected: "0 or more")
    ) { try add(alibi, AttentionShape(heads: 4, queries: -1, keys: 5), count: 0) }
    #expect(throws: EmbedError.self) {
      try add(alibi, AttentionShape(heads: 4, queries: .max / 2, keys: 5), count: 0)
    }
    try add(alibi, AttentionShape(batch: 0, heads: 4, queries: 3, keys: 5))
    try add(alibi, AttentionShape(heads: 4, queries: 0, keys: 5))
    try add(alibi, AttentionShape(heads: 4, queries: 3, keys: 0))
  }

  @Test func positionsMustFit() throws {
    let alibi = try DistanceTable(ALiBi(heads: 1))
    let shape = AttentionShape(heads: 1, queries: 2, keys: 2)
    #expect(throws: EmbedError.unpairedDocuments) {
      try add(alibi, shape, queries: .packed(cumulativeLengths: [0, 2]))
    }
    #expect(
      throws: EmbedError.contextTooLong(
        offset: Int(Int32.max), context: 2, maximum: Int(Int32.max))
    ) { try add(alibi, shape, queries: .sequential(offset: Int(Int32.max))) }
    #expect(
      throws: EmbedError.distanceOutOfRange(distance: 1 << 25, limit: 1 << 24)
    ) { try add(alibi, shape, queries: .sequential(offset: 1 << 25 - 1)) }
    #expect(throws: EmbedError.self) { try add(alibi, shape, keys: .explicit([0, -1])) }
    let weights = try EmbeddingTable<Float>(rows: 9, dim: 1)
    let swin = try SwinBias(rows: 2, columns: 2, weights: weights)
    #expect(throws: EmbedError.contextTooLong(offset: 3, context: 2, maximum: 4)) {
      try add(swin, shape, queries: .sequential(offset: 3))
    }
  }

  @Test func schemesCheckWhatTheyAreMadeOf() throws {
    let table = try EmbeddingTable<Float>(rows: 6, dim: 4)
    #expect(throws: EmbedError.invalidSize(argument: "heads", value: 0, expected: "1 or more")) {
      try ALiBi(heads: 0)
    }
    #expect(throws: EmbedError.self) { try ALiBi(slopes: [1, .nan]) }
    #expect(throws: EmbedError.self) { try DistanceBuckets(count: 7, direction: .bidirectional) }
    #expect(throws: EmbedError.self) {
      try DistanceBuckets(count: 32, maximumDistance: 8, direction: .bidirectional)
    }
    #expect(
      throws: EmbedError.invalidSize(
        argument: "rows of the bucket table", value: 6, expected: "32")
    ) { try T5Bias(DistanceBuckets(direction: .causal), weights: table) }
    #expect(throws: EmbedError.self) { try KERPLE(.power, parameters: table) }
    #expect(throws: EmbedError.self) { try Sandwich(heads: 2, dim: 7) }
    #expect(throws: EmbedError.self) { try Sandwich(heads: 2, base: .nan) }
    #expect(throws: EmbedError.self) { try FIRE(heads: 2, parameters: table) }
    #expect(throws: EmbedError.self) { try SwinBias(rows: 0, columns: 2, weights: table) }
    #expect(
      throws: EmbedError.invalidSize(argument: "rows of Shaw's table", value: 6, expected: "5")
    ) { try ShawKeys(clip: 2, table: table) }
    #expect(throws: EmbedError.self) {
      try DisentangledBias(heads: 2, span: 2, keyTable: table, queryTable: nil)
    }
    #expect(throws: EmbedError.self) {
      try DisentangledBias(heads: 2, span: 3, keyTable: nil, queryTable: nil)
    }
    #expect(throws: EmbedError.self) {
      try TransformerXLBias(contentBias: table, positionBias: table, projection: table)
    }
  }

  @Test func vectorsMustFit() throws {
    let shaw = try ShawKeys(clip: 1, table: EmbeddingTable<Float>(rows: 3, dim: 4))
    let shape = AttentionShape(heads: 1, queries: 2, keys: 2)
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "query vectors", expected: 8, shape: [1, 1, 2, 4], actual: 0)
    ) { try add(shaw, shape) }
  }

  @Test func valuesAreThoseOfTheLiterature() throws {
    let sandwich = try Sandwich(heads: 8, dim: 64)
    #expect(abs(sandwich.value(head: 0, distance: 1) + 0.62347) < 1e-5)
    #expect(abs(sandwich.value(head: 0, distance: 8) + 8.44059) < 1e-5)
    let twelve = ALiBi.slopes(heads: 12)
    for (slope, expected) in zip(twelve[8...], [0.70711, 0.35355, 0.17678, 0.08839]) {
      #expect(abs(slope - expected) < 1e-5)
    }
  }
}
