// Dropout's contract, the fused layer's policies outside the tables, and its errors.

import EmbedKernel
import Testing

@Suite struct FusedLayerTests {
  private func makeLayer(
    vocabulary: Int = 10, dim: Int = 64, segments: Int = 2, dropout: Dropout? = nil,
    normalized: Normalization? = nil, unknownIDs: UnknownIDs = .error,
    overflow: PositionOverflow = .error
  ) throws -> FusedInputEmbedding<Float> {
    try FusedInputEmbedding(
      InputEmbedding(
        tokens: TokenEmbedding(
          table: EmbeddingTable<Float>(
            rows: vocabulary, dim: dim, .uniform(low: 1, high: 2), seed: 1)),
        positions: EmbeddingTable<Float>(rows: 16, dim: dim, .uniform(low: 1, high: 2), seed: 2),
        unknownIDs: unknownIDs, positionOverflow: overflow),
      segments: segments == 0
        ? nil : EmbeddingTable<Float>(rows: segments, dim: dim, .uniform(low: 1, high: 2), seed: 3),
      normalization: normalized, dropout: dropout)
  }

  private func output(
    _ layer: FusedInputEmbedding<Float>, _ ids: [Int32], segmentIDs: [Int32]? = nil, batch: Int,
    step: UInt64? = nil, at place: PositionIDs = .sequential(), using kernels: Kernels = .auto
  ) throws -> [Float] {
    var output = try layer.makeOutput(batch: batch, context: ids.count / batch)
    try layer.forward(
      ids, segmentIDs: segmentIDs, batch: batch, context: ids.count / batch, at: place,
      trainingStep: step, into: &output, using: kernels)
    return unsafe Array(output.unsafeBuffer)
  }

  /// All sums are above 0 here, so a 0 is a dropped element.
  @Test(arguments: [0.1, 0.5, 0.8] as [Float])
  func dropoutKeepsItsShareAndScalesIt(rate: Float) throws {
    let ids = (0..<1_600).map { Int32($0 % 10) }
    let whole = try output(makeLayer(), ids, batch: 100)
    let layer = try makeLayer(dropout: Dropout(rate: rate, seed: 7))
    let dropped = try output(layer, ids, batch: 100, step: 3)
    let scale = Float(1 / (1 - Double(rate)))
    var kept = 0
    for i in 0..<whole.count where dropped[i] != 0 {
      kept += 1
      #expect(dropped[i] == whole[i] * scale, "element \(i)")
    }
    // Five standard deviations of a binomial share.
    let (count, share) = (Double(whole.count), 1 - Double(rate))
    let deviation = (count * share * (1 - share)).squareRoot()
    #expect(abs(Double(kept) - count * share) <= 5 * deviation)
    // Another step, and another seed, drop others; the same drop the same.
    #expect(try output(layer, ids, batch: 100, step: 3) == dropped)
    #expect(try output(layer, ids, batch: 100, step: 4) != dropped)
    let other = try makeLayer(dropout: Dropout(rate: rate, seed: 8))
    #expect(try output(other, ids, batch: 100, step: 3) != dropped)
  }

  /// Neighbouring elements, rows and steps are dropped independently.
  @Test func masksAreUncorrelated() throws {
    let ids = (0..<1_600).map { Int32($0 % 10) }
    let layer = try makeLayer(dim: 100, dropout: Dropout(rate: 0.5, seed: 1))
    let signs = try (0..<2 as Range<UInt64>).map { step in
      try output(layer, ids, batch: 100, step: step).map { $0 == 0 ? -1.0 : 1.0 }
    }
    let count = Double(signs[0].count)
    func correlation(_ a: [Double], _ b: [Double], shift: Int) -> Double {
      (0..<a.count - shift).reduce(0) { $0 + a[$1] * b[$1 + shift] } / count.squareRoot()
    }
    for shift in [1, 4, 16, 32, 64, 100, 128, 200] {
      #expect(abs(correlation(signs[0], signs[0], shift: shift)) < 5, "shift \(shift)")
    }
    for shift in [0, 1, 16] {
      #expect(abs(correlation(signs[0], signs[1], shift: shift)) < 5, "steps, shift \(shift)")
    }
  }

  /// The backward's mask is the forward's: without normalisation the rows are the masked gradient.
  @Test(arguments: Backend.allCases)
  func theBackwardTakesTheForwardsMask(backend: Backend) throws {
    let ids = (0..<48).map { Int32($0 % 10) }
    let layer = try makeLayer(dim: 70, segments: 0, dropout: Dropout(rate: 0.3, seed: 2))
    let kernels = Kernels(backend: backend)
    let forward = try output(layer, ids, batch: 3, step: 9, using: kernels)
    let ones = [Float](repeating: 1, count: forward.count)
    var gradient = try FusedEmbeddingGradient(for: layer)
    try layer.backward(
      ones.span, ids: ids.span, batch: 3, context: 16, trainingStep: 9, into: &gradient,
      using: kernels)
    let scale = Float(1 / (1 - Double(Float(0.3))))
    for i in 0..<forward.count {
      #expect(gradient.rows[i] == (forward[i] == 0 ? 0 : scale), "element \(i)")
    }
  }

  @Test func droppingNothingIsNoDropout() throws {
    let ids: [Int32] = [1, 2, 3, 4]
    let plain = try output(makeLayer(normalized: .layer(dim: 64)), ids, batch: 2)
    let zero = try makeLayer(dropout: Dropout(rate: 0, seed: 1), normalized: .layer(dim: 64))
    expectSameBits(try output(zero, ids, batch: 2, step: 5), plain, "rate 0")
    let half = try makeLayer(dropout: Dropout(rate: 0.5, seed: 1), normalized: .layer(dim: 64))
    expectSameBits(try output(half, ids, batch: 2), plain, "inference")
  }

  /// Ids and positions outside their tables, where the layer takes them, go through all backends.
  @Test(arguments: Backend.allCases)
  func toleratedIDsGiveWhatTheirStandInsGive(backend: Backend) throws {
    let kernels = Kernels(backend: backend)
    let layer = try makeLayer(
      normalized: .layer(dim: 64), unknownIDs: .clamp, overflow: .clamp)
    let segmentIDs: [Int32] = [0, 1, 1, 0]
    let outside = try output(
      layer, [-5, 3, 99, 9], segmentIDs: segmentIDs, batch: 1,
      at: .explicit([0, 15, 16, 400]), using: kernels)
    let inside = try output(
      layer, [0, 3, 9, 9], segmentIDs: segmentIDs, batch: 1, at: .explicit([0, 15, 15, 15]),
      using: kernels)
    expectSameBits(outside, inside, "\(backend)")
    var gradients = [[Float]]()
    let weights = (0..<256).map { Float($0 % 7) - 3 }
    for (ids, positions) in [
      ([-5, 3, 99, 9] as [Int32], [0, 15, 16, 400] as [Int32]), ([0, 3, 9, 9], [0, 15, 15, 15]),
    ] {
      var gradient = try FusedEmbeddingGradient(for: layer)
      try layer.backward(
        weights.span, ids: ids.span, segmentIDs: segmentIDs.span, batch: 1, context: 4,
        at: .explicit(positions), into: &gradient, using: kernels)
      gradients.append(floats(gradient))
    }
    expectSameBits(gradients[0], gradients[1], "backward, \(backend)")
  }

  /// Parameters add up over calls, rows are the last call's, and `removeAll` starts anew.
  @Test func gradientsAccumulateUntilTheyAreRemoved() throws {
    let layer = try makeLayer(dim: 8, normalized: .layer(dim: 8))
    let ids: [Int32] = [1, 2, 3, 4]
    let weights = (0..<32).map { Float($0 % 5) - 1.5 }
    func backward(_ gradient: inout FusedEmbeddingGradient) throws {
      try layer.backward(weights.span, ids: ids.span, batch: 2, context: 2, into: &gradient)
    }
    var once = try FusedEmbeddingGradient(for: layer)
    try backward(&once)
    var twice = try FusedEmbeddingGradient(for: layer)
    try backward(&twice)
    try backward(&twice)
    #expect(floats(twice.rows) == floats(once.rows))
    #expect(floats(twice.gamma) == floats(once.gamma).map { 2 * $0 })
    #expect(floats(twice.segments) == floats(once.segments).map { 2 * $0 })
    twice.removeAll()
    #expect(twice.count == 0 && twice.rows.isEmpty)
    try backward(&twice)
    #expect(floats(twice) == floats(once))
  }

  @Test func emptyBatchesAreFine() throws {
    let layer = try makeLayer(normalized: .layer(dim: 64))
    #expect(try output(layer, [], batch: 1).isEmpty)
    var gradient = try FusedEmbeddingGradient(for: layer)
    let none: [Float] = []
    let ids: [Int32] = []
    try layer.backward(none.span, ids: ids.span, batch: 0, context: 4, into: &gradient)
    #expect(gradient.count == 0 && floats(gradient.gamma).allSatisfy { $0 == 0 })
  }
}
