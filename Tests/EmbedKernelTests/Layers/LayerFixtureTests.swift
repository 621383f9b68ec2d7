// The fused layer against PyTorch's embedding, layer_norm and rms_norm and their gradients, computed
// in float64: the arrays that scripts/reference/make_layer_fixtures.py wrote.

import EmbedKernel
import Foundation
import Testing

@Suite struct LayerFixtureTests {
  /// A layer and its gradients. Arrays are names of files.
  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    enum Norm: String, Decodable { case none, layer, rms }
    let name: String
    let vocabulary: Int
    let batch: Int
    let context: Int
    let dim: Int
    let norm: Norm
    let epsilon: Float
    let scale: Float
    let ids: String
    let segmentIDs: String?
    let tokens: String
    let positions: String
    let segments: String?
    let gamma: String?
    let beta: String?
    let weights: String
    let expected: String
    let tokenGradient: String
    let positionGradient: String
    let segmentGradient: String?
    let gammaGradient: String?
    let betaGradient: String?
    var testDescription: String { name }
  }

  private static let folder = Fixtures.folder.appending(path: "layers")

  static func cases() throws -> [Case] {
    struct File: Decodable { let cases: [Case] }
    let data = try Data(contentsOf: folder.appending(path: "cases.json"))
    return try JSONDecoder().decode(File.self, from: data).cases
  }

  private func floats(_ name: String) throws -> [Float] {
    let array = try NumPyArray<Float>(contentsOf: Self.folder.appending(path: name).path)
    return EmbedKernelTests.floats(array.span)
  }

  private func ids(_ name: String) throws -> [Int32] {
    let array = try NumPyArray<Int32>(contentsOf: Self.folder.appending(path: name).path)
    let span = array.span
    return (0..<span.count).map { span[$0] }
  }

  private func table(_ name: String, _ dim: Int) throws -> EmbeddingTable<Float> {
    let values = try floats(name)
    return try EmbeddingTable<Float>(rows: values.count / dim, dim: dim, copying: values.span)
  }

  /// Every array within `tolerance` of its largest element.
  private func expectClose(
    _ actual: [Float], _ name: String?, tolerance: Float = 4e-6, _ what: String
  ) throws {
    let expected = try name.map { try floats($0) } ?? []
    #expect(actual.count == expected.count, "\(what)")
    let largest = expected.map { abs($0) }.max() ?? 0
    for i in 0..<min(actual.count, expected.count) {
      #expect(
        abs(actual[i] - expected[i]) <= tolerance * max(1, largest),
        "\(what)[\(i)]: \(actual[i]) instead of \(expected[i])")
    }
  }

  @Test(arguments: try cases(), Backend.allCases)
  func outputAndGradientsArePyTorchs(_ c: Case, backend: Backend) throws {
    let kernels = Kernels(backend: backend)
    let normalization: Normalization? =
      if let gamma = c.gamma {
        try Normalization(
          c.norm == .layer ? .layer : .rootMeanSquare, gamma: table(gamma, c.dim),
          beta: c.beta.map { try table($0, c.dim) }, epsilon: c.epsilon)
      } else {
        nil
      }
    let layer = try FusedInputEmbedding(
      InputEmbedding(
        tokens: TokenEmbedding(table: table(c.tokens, c.dim)),
        positions: table(c.positions, c.dim), scale: .value(c.scale)),
      segments: c.segments.map { try table($0, c.dim) }, normalization: normalization)
    let ids = try ids(c.ids)
    let segmentIDs = try c.segmentIDs.map { try self.ids($0) }
    var output = try layer.makeOutput(batch: c.batch, context: c.context)
    try layer.forward(
      ids, segmentIDs: segmentIDs, batch: c.batch, context: c.context, into: &output,
      using: kernels)
    try expectClose(EmbedKernelTests.floats(output.span), c.expected, "output")

    var gradient = try FusedEmbeddingGradient(for: layer)
    let weights = try floats(c.weights)
    try layer.backward(
      weights.span, ids: ids.span, segmentIDs: segmentIDs?.span, batch: c.batch,
      context: c.context, into: &gradient, using: kernels)
    try expectClose(EmbedKernelTests.floats(gradient.gamma), c.gammaGradient, "gamma's gradient")
    try expectClose(EmbedKernelTests.floats(gradient.beta), c.betaGradient, "beta's gradient")
    try expectClose(
      EmbedKernelTests.floats(gradient.segments), c.segmentGradient, "segments' gradient")
    // The tables' gradients are sums of rows.
    var tokens = [Float](repeating: 0, count: c.vocabulary * c.dim)
    var positions = [Float](repeating: 0, count: c.context * c.dim)
    for n in 0..<ids.count {
      for i in 0..<c.dim {
        let d = gradient.rows[n * c.dim + i]
        tokens[Int(ids[n]) * c.dim + i] += c.scale * d
        positions[n % c.context * c.dim + i] += d
      }
    }
    try expectClose(tokens, c.tokenGradient, "tokens' gradient")
    try expectClose(positions, c.positionGradient, "positions' gradient")
  }
}
