// `gradient(at:)` through the layer and the tied head against central differences, and a step.

import EmbedDifferentiable
import EmbedKernel
import Testing
import _Differentiation

/// sum(weights * values), with its derivative.
@differentiable(reverse,wrt: values)
private func weighted(_ values: Matrix, _ weights: Matrix) -> Float {
  zip(values.elements, weights.elements).reduce(0) { $0 + $1.0 * $1.1 }
}

@derivative(of: weighted, wrt: values)
private func derivativeOfWeighted(
  _ values: Matrix, _ weights: Matrix
) -> (value: Float, pullback: (Float) -> Matrix) {
  (
    weighted(values, weights),
    { factor in
      var result = Matrix.zero
      result.add(weights, times: factor)
      return result
    }
  )
}

/// Logits of a model whose head is its own token table.
@differentiable(reverse,wrt: layer)
private func logits(_ layer: InputLayer, _ input: InputBatch) -> Matrix {
  tiedLogits(hidden: layer(input), table: layer.tokens, scale: 0.5)
}

@Suite struct DifferentiationTests {
  private func matrix(_ rows: Int, _ dim: Int, seed: UInt64) throws -> Matrix {
    Matrix(try EmbeddingTable<Float>(rows: rows, dim: dim, .uniform(low: -1, high: 1), seed: seed))
  }

  private func makeLayer(_ kernels: Kernels = .auto) throws -> InputLayer {
    try InputLayer(
      tokens: matrix(6, 5, seed: 1), positions: matrix(4, 5, seed: 2),
      segments: matrix(2, 5, seed: 3), gamma: matrix(1, 5, seed: 4), beta: matrix(1, 5, seed: 5),
      configuration: InputLayer.Configuration(
        scale: .sqrtDim, dropout: Dropout(rate: 0.2, seed: 6), kernels: kernels))
  }

  private func makeBatch(_ layer: InputLayer) throws -> InputBatch {
    try InputBatch(
      [0, 3, 3, 5, 1, 2], segmentIDs: [0, 0, 1, 1, 0, 1], batch: 2, context: 3,
      at: .sequential(offset: 1), trainingStep: 2, for: layer)
  }

  @Test(arguments: Backend.allCases)
  func gradientsAgreeWithCentralDifferences(backend: Backend) throws {
    let layer = try makeLayer(Kernels(backend: backend))
    let input = try makeBatch(layer)
    let weights = try matrix(6, 6, seed: 7)
    let (value, gradient) = valueWithGradient(at: layer) { weighted(logits($0, input), weights) }
    #expect(value == weighted(logits(layer, input), weights))

    let h: Float = 0x1p-9
    func check(
      _ path: WritableKeyPath<InputLayer, Matrix>, _ analytic: Matrix, _ name: String
    ) throws {
      let (rows, dim) = (layer[keyPath: path].rows, layer[keyPath: path].dim)
      #expect(analytic.rows == rows && analytic.dim == dim)
      for i in 0..<analytic.elements.count {
        func loss(_ step: Float) throws -> Double {
          var moved = layer
          var elements = moved[keyPath: path].elements
          elements[i] += step
          moved[keyPath: path] = try Matrix(rows: rows, dim: dim, elements)
          let all = logits(moved, input).elements
          return zip(all, weights.elements).reduce(0) { $0 + Double($1.0) * Double($1.1) }
        }
        let numeric = try (loss(h) - loss(-h)) / Double(2 * h)
        // Float's roundings of the loss, over 2h, and the differences' third order.
        #expect(
          abs(Double(analytic.elements[i]) - numeric) <= 5e-3 * max(1, abs(numeric)),
          "\(name)[\(i)]: \(analytic.elements[i]) instead of \(numeric)")
      }
    }
    try check(\.tokens, gradient.tokens, "tokens")
    try check(\.positions, gradient.positions, "positions")
    try check(\.segments, gradient.segments, "segments")
    try check(\.gamma, gradient.gamma, "gamma")
    try check(\.beta, gradient.beta, "beta")
  }

  @Test func aStepAlongTheGradientMovesTheLossAndNotTheCopy() throws {
    var layer = try makeLayer()
    let before = layer
    let input = try makeBatch(layer)
    let weights = try matrix(6, 6, seed: 8)
    let (value, gradient) = valueWithGradient(at: layer) { weighted(logits($0, input), weights) }
    var step = gradient
    for path: WritableKeyPath<InputLayer.TangentVector, Matrix> in [
      \.tokens, \.positions, \.segments, \.gamma, \.beta,
    ] {
      var scaled = Matrix.zero
      scaled.add(gradient[keyPath: path], times: -0.01)
      step[keyPath: path] = scaled
    }
    layer.move(by: step)
    #expect(weighted(logits(layer, input), weights) < value)
    #expect(weighted(logits(before, input), weights) == value)
  }

  @Test func absentPartsHaveNoTangent() throws {
    let layer = try InputLayer(tokens: matrix(6, 5, seed: 1))
    let input = try InputBatch([1, 1, 4], batch: 1, context: 3, for: layer)
    let weights = try matrix(3, 5, seed: 2)
    let gradient = gradient(at: layer) { weighted($0(input), weights) }
    #expect(gradient.positions == .zero && gradient.gamma == .zero && gradient.segments == .zero)
    let w = weights.elements
    for i in 0..<5 {
      #expect(gradient.tokens.elements[5 + i] == w[i] + w[5 + i])
      #expect(gradient.tokens.elements[20 + i] == w[10 + i])
      #expect(gradient.tokens.elements[i] == 0)
    }
  }

  @Test func sumsAndDifferencesTakeTheZeroOfAnyShape() throws {
    let (a, b) = (try matrix(2, 3, seed: 1), try matrix(2, 3, seed: 2))
    #expect((a + .zero) == a && (.zero + a) == a && (a - .zero) == a)
    #expect((a + b).elements == zip(a.elements, b.elements).map { $0 + $1 })
    #expect((a - b).elements == zip(a.elements, b.elements).map { $0 - $1 })
    #expect((Matrix.zero - a).elements == a.elements.map { -$0 })
    #expect(Matrix.zero + .zero == .zero)
  }

  @Test func faultsOfDataAreThrown() throws {
    let layer = try makeLayer()
    #expect(throws: EmbedError.tokenOutOfRange(id: 6, batchRow: 0, position: 1, vocabulary: 6)) {
      try InputBatch([0, 6], batch: 1, context: 2, for: layer)
    }
    #expect(throws: EmbedError.contextTooLong(offset: 0, context: 5, maximum: 4)) {
      try InputBatch([0, 1, 2, 3, 4], batch: 1, context: 5, for: layer)
    }
    #expect(throws: EmbedError.invalidSize(argument: "batch", value: 0, expected: "1 or more")) {
      try InputBatch([], batch: 0, context: 2, for: layer)
    }
    #expect(throws: EmbedError.self) {
      try InputLayer(tokens: matrix(6, 5, seed: 1), positions: matrix(4, 3, seed: 1))
    }
    #expect(throws: EmbedError.self) { try InputLayer(tokens: .zero) }
    #expect(throws: EmbedError.self) {
      try InputLayer(tokens: matrix(6, 5, seed: 1), beta: matrix(1, 5, seed: 1))
    }
  }
}
