// Every fault of a call of the fused layer is named with its place, before anything is written.

import EmbedKernel
import Testing

@Suite struct FusedLayerErrorTests {
  private func makeLayer(segments: Int = 2) throws -> FusedInputEmbedding<Float> {
    try FusedInputEmbedding(
      InputEmbedding(vocabulary: 10, dim: 4, positions: .learned(maximum: 8)),
      segments: segments == 0 ? nil : EmbeddingTable<Float>(rows: segments, dim: 4),
      normalization: .layer(dim: 4))
  }

  /// The error of a forward and of a backward, which must be the same and leave all as it was.
  private func fault(
    _ layer: FusedInputEmbedding<Float>, _ ids: [Int32], segmentIDs: [Int32]?, batch: Int,
    context: Int,
    at place: PositionIDs = .sequential(), using kernels: Kernels = .auto
  ) throws -> EmbedError? {
    var output = [Float](repeating: 7, count: batch * context * 4)
    let gradientIn = output
    var (forward, backward): (EmbedError?, EmbedError?)
    do throws(EmbedError) {
      var span = output.mutableSpan
      try layer.forward(
        ids.span, segmentIDs: segmentIDs?.span, batch: batch, context: context, at: place,
        into: &span, using: kernels)
    } catch { forward = error }
    var gradient = try FusedEmbeddingGradient(for: layer)
    do throws(EmbedError) {
      try layer.backward(
        gradientIn.span, ids: ids.span, segmentIDs: segmentIDs?.span, batch: batch,
        context: context, at: place, into: &gradient, using: kernels)
    } catch { backward = error }
    #expect(output.allSatisfy { $0 == 7 })
    #expect(gradient.count == 0 && floats(gradient.gamma).allSatisfy { $0 == 0 })
    #expect(forward == backward)
    return forward
  }

  @Test func faultsOfIDsAreLocated() throws {
    let layer = try makeLayer()
    #expect(
      try fault(layer, [1, 2, 3, 10], segmentIDs: nil, batch: 2, context: 2)
        == .tokenOutOfRange(id: 10, batchRow: 1, position: 1, vocabulary: 10))
    #expect(
      try fault(layer, [1, 2, 3, 4], segmentIDs: [0, 1, -1, 0], batch: 2, context: 2)
        == .segmentOutOfRange(id: -1, batchRow: 1, position: 0, segments: 2))
    #expect(
      try fault(layer, [1, 2, 3, 4], segmentIDs: [0, 2, 1, 0], batch: 2, context: 2)
        == .segmentOutOfRange(id: 2, batchRow: 0, position: 1, segments: 2))
    #expect(
      try fault(layer, [1, 2, 3, 4], segmentIDs: [0, 1, 1], batch: 2, context: 2)
        == .wrongElementCount(
          argument: "segment ids", expected: 4, shape: [2, 2], actual: 3))
    #expect(
      try fault(makeLayer(segments: 0), [1, 2], segmentIDs: [0, 0], batch: 1, context: 2)
        == .wrongElementCount(
          argument: "segment ids of a layer without segments", expected: 0, shape: [0], actual: 2))
    #expect(
      try fault(
        layer, [1, 2, 3, 4], segmentIDs: nil, batch: 1, context: 4, at: .sequential(offset: 5))
        == .contextTooLong(offset: 5, context: 4, maximum: 8))
    #expect(
      try fault(
        layer, [1, 2], segmentIDs: nil, batch: 1, context: 2, using: Kernels.auto.threads(0))
        == .invalidSize(argument: "threads", value: 0, expected: "1 or more"))
    let message = "\(EmbedError.segmentOutOfRange(id: 2, batchRow: 0, position: 1, segments: 2))"
    #expect(message.contains("segment id 2 at batch row 0, position 1"))
  }

  @Test func faultsOfPartsAreNamed() throws {
    let embedding = try InputEmbedding(vocabulary: 10, dim: 4)
    #expect(
      throws: EmbedError.invalidSize(
        argument: "dim of the segment table", value: 5, expected: "the token table's, 4")
    ) { try FusedInputEmbedding(embedding, segments: EmbeddingTable<Float>(rows: 2, dim: 5)) }
    #expect(
      throws: EmbedError.invalidSize(
        argument: "dim of the normalisation", value: 5, expected: "the token table's, 4")
    ) { try FusedInputEmbedding(embedding, normalization: .rootMeanSquare(dim: 5)) }
    for epsilon in [-1, .infinity] as [Float] {
      #expect(
        throws: EmbedError.invalidValue(
          argument: "epsilon", value: Double(epsilon), expected: "a finite number, 0 or more")
      ) { try Normalization.layer(dim: 4, epsilon: epsilon) }
    }
    #expect(
      throws: EmbedError.invalidSize(argument: "rows of gamma", value: 2, expected: "1")
    ) { try Normalization(.layer, gamma: EmbeddingTable<Float>(rows: 2, dim: 4), epsilon: 0) }
    #expect(
      throws: EmbedError.invalidSize(argument: "dim of beta", value: 3, expected: "gamma's, 4")
    ) {
      try Normalization(
        .layer, gamma: EmbeddingTable<Float>(rows: 1, dim: 4),
        beta: EmbeddingTable<Float>(rows: 1, dim: 3),
        epsilon: 0)
    }
    for rate in [-0.1, 1, 2] as [Float] {
      #expect(
        throws: EmbedError.invalidValue(
          argument: "dropout rate", value: Double(rate), expected: "0..<1")
      ) { try Dropout(rate: rate, seed: 0) }
    }
    #expect(throws: EmbedError.self) { try Dropout(rate: .nan, seed: 0) }
  }

  @Test func aGradientOfAnotherLayerIsRefused() throws {
    let layer = try makeLayer()
    let other = try FusedInputEmbedding(InputEmbedding(vocabulary: 10, dim: 5))
    var gradient = try FusedEmbeddingGradient(for: other)
    let (ids, weights): ([Int32], [Float]) = ([1], [1, 1, 1, 1])
    do throws(EmbedError) {
      try layer.backward(weights.span, ids: ids.span, batch: 1, context: 1, into: &gradient)
      Issue.record("a gradient of another layer was taken")
    } catch {
      #expect(
        error
          == .invalidSize(
            argument: "dim of the gradient", value: 5,
            expected: "that of the layer the gradient was made for, 4"))
    }
    var own = try FusedEmbeddingGradient(for: layer)
    do throws(EmbedError) {
      try layer.backward(weights.span, ids: ids.span, batch: 1, context: 2, into: &own)
      Issue.record("a short gradient was taken")
    } catch {
      #expect(
        error
          == .wrongElementCount(
            argument: "output gradient", expected: 8, shape: [1, 2, 4], actual: 4))
    }
  }

  @Test func theOutputMayNotShareTheParametersMemory() throws {
    let layer = try makeLayer()
    guard let gamma = layer.normalization?.gamma, let segments = layer.segments else { return }
    for (name, table) in [("gamma", gamma), ("segments", segments)] {
      let ids: [Int32] = [1]
      var output = unsafe UnsafeMutableBufferPointer(rebasing: table.unsafeBuffer[..<4])
      #expect(throws: EmbedError.overlappingMemory(argument: name)) {
        try unsafe layer.forward(ids, batch: 1, context: 1, into: &output)
      }
    }
  }
}
