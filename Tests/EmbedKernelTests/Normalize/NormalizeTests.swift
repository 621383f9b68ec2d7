// The fused layer: every backend, instruction set, thread count and alignment has the reference's
// bits, and the backward agrees with central differences of the reference in Double.

import EmbedKernel
import ReferenceKernels
import TestSupport
import Testing

@Suite struct NormalizeTests {
  @Test(arguments: 0..<60 as Range<UInt64>)
  func randomForwardsHaveTheReferencesBits(seed: UInt64) throws {
    let c = try NormalizeCase(seed)
    let expected = c.expected
    for (index, way) in Way.all.enumerated() {
      let misalignment = [0, 1, 4, 8][index % 4]
      expectSameBits(
        try c.forward(way, misalignment: misalignment), expected,
        "\(c), \(way), misaligned by \(misalignment)")
    }
  }

  /// Dims around every lane count, where tails begin and end.
  @Test(arguments: [
    1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 80, 96, 127, 128, 130, 385,
    2_048, 2_100,
  ])
  func everyTailLengthHasTheReferencesBits(dim: Int) throws {
    for seed in 100..<(dim > 1_000 ? 104 : 108) as Range<UInt64> {
      let c = try NormalizeCase(seed, dim: dim)
      let expected = c.expected
      var random = SeededGenerator(seed: seed)
      let gradient = random.floats(c.tokenCount * dim)
      var first: [Float]?
      for way in Way.all {
        expectSameBits(try c.forward(way), expected, "\(c), \(way)")
        var result = try FusedEmbeddingGradient(for: c.layer)
        try c.backward(gradient, way, into: &result)
        let bits = floats(result)
        expectSameBits(bits, first ?? bits, "backward, \(c), \(way)")
        if first == nil { first = bits }
      }
    }
  }

  /// Rows, and the parameters' sums, which go over chunks.
  @Test(arguments: 0..<60 as Range<UInt64>)
  func backwardsOfAllWaysHaveTheSameBits(seed: UInt64) throws {
    let c = try NormalizeCase(seed)
    var random = SeededGenerator(seed: seed)
    let gradient = random.floats(c.tokenCount * c.shape.dim)
    var first: [Float]?
    for way in Way.all {
      var result = try FusedEmbeddingGradient(for: c.layer)
      try c.backward(gradient, way, into: &result)
      let bits = floats(result)
      expectSameBits(bits, first ?? bits, "\(c), \(way)")
      if first == nil { first = bits }
    }
  }

  /// Enough tokens for several chunks on several threads.
  @Test(arguments: [
    (8, 64, 96, PositionIDs.sequential()), (200, 3, 40, .sequential()), (1, 700, 33, .sequential()),
    (4, 100, 64, .offsets([0, 5, 9, 300])), (2, 300, 64, .packed(cumulativeLengths: [0, 7, 600])),
  ])
  func chunksGiveTheSameBitsForEveryThreadCount(
    batch: Int, context: Int, dim: Int, place: PositionIDs
  ) throws {
    let layer = try FusedInputEmbedding(
      InputEmbedding(vocabulary: 100, dim: dim, positions: .learned(maximum: 1_000), seed: 3),
      segments: EmbeddingTable<Float>(rows: 2, dim: dim, .normal(sigma: 0.02), seed: 4),
      normalization: .layer(dim: dim), dropout: Dropout(rate: 0.1, seed: 5))
    let ids = (0..<batch * context).map { Int32($0 * 31 % 100) }
    let segmentIDs = (0..<batch * context).map { Int32($0 / 7 % 2) }
    var random = SeededGenerator(seed: 9)
    let outputGradient = (0..<batch * context * dim).map { _ in
      Float.random(in: -1...1, using: &random)
    }
    var first: [Float]?
    for backend in Backend.allCases {
      for threads in [1, 2, 3, 7] {
        var result = try FusedEmbeddingGradient(for: layer, capacity: batch * context)
        for _ in 0..<2 {
          try layer.backward(
            outputGradient.span, ids: ids.span, segmentIDs: segmentIDs.span, batch: batch,
            context: context, at: place, trainingStep: 6, into: &result,
            using: Kernels(backend: backend, threads: threads))
        }
        let bits = floats(result)
        expectSameBits(bits, first ?? bits, "\(backend), \(threads) threads")
        if first == nil { first = bits }
      }
    }
  }

  /// d(L) for L = sum(weight * output) against (L(p + h) - L(p - h)) / 2h in Double.
  @Test(arguments: 0..<40 as Range<UInt64>)
  func gradientsAgreeWithCentralDifferences(seed: UInt64) throws {
    let c = try NormalizeCase(seed, small: true)
    var random = SeededGenerator(seed: seed)
    let weights = (0..<c.tokenCount * c.shape.dim).map { _ in
      Float.random(in: -1...1, using: &random)
    }
    var gradient = try FusedEmbeddingGradient(for: c.layer)
    try c.backward(weights, Way(kernels: .native), into: &gradient)
    let loss = DoubleLoss(c, weights: weights)
    let condition = loss.condition
    let names = ["rows", "gamma", "beta"]
    let analytic = [floats(gradient.rows), floats(gradient.gamma), floats(gradient.beta)]
    for (parameter, values) in analytic.enumerated() {
      for i in 0..<values.count {
        let (numeric, magnitude) = loss.difference(parameter, i)
        // Float knows x - mean to some epsilons of x, which the reciprocal deviation multiplies
        // once in xhat and once more in d(x); 1e-6 is 16 epsilons.
        #expect(
          abs(Double(values[i]) - numeric) <= 1e-6 * condition * max(1, magnitude),
          "\(names[parameter])[\(i)]: \(values[i]) instead of \(numeric); \(c)")
      }
    }
    // A segment's gradient is the sum of its rows'.
    let dim = c.shape.dim
    var segments = [Double](repeating: 0, count: gradient.segments.count)
    for n in 0..<(segments.isEmpty ? 0 : c.tokenCount) {
      for i in 0..<dim {
        segments[Int(c.segmentIDs?[n] ?? 0) * dim + i] += Double(gradient.rows[n * dim + i])
      }
    }
    for i in 0..<segments.count {
      #expect(abs(Double(gradient.segments[i]) - segments[i]) <= 1e-4 * max(1, abs(segments[i])))
    }
  }

  /// Float's rows against Double's, for rows far from zero, where one pass would lose all digits.
  @Test(arguments: [0, 1_000, 30_000] as [Float])
  func statisticsHoldFarFromZero(offset: Float) throws {
    let dim = 768
    let table = try EmbeddingTable<Float>(
      rows: 50, dim: dim, .uniform(low: offset - 1, high: offset + 1), seed: 2)
    let layer = try FusedInputEmbedding(
      InputEmbedding(tokens: TokenEmbedding(table: table), positions: nil),
      normalization: .layer(dim: dim))
    var output = try layer.makeOutput(batch: 1, context: 50)
    try layer.forward((0..<50).map { Int32($0) }, batch: 1, context: 50, into: &output)
    let expected = Reference.normalize(
      floats(table).map { Double($0) }, .layer, gamma: [Double](repeating: 1, count: dim),
      beta: nil, epsilon: 1e-5, kept: nil, dropoutScale: 1, dim: dim)
    // The mean is off by (dim / 32 + 6) roundings of it at most, halves of an ulp; the deviation
    // here is 1 / sqrt(3), so outputs are off by sqrt(3) times that, and by a few of their own.
    let bound = Double(offset + 1) * 0x1p-24 * Double(dim / 32 + 6) * 1.8 + 4e-6
    for i in 0..<expected.count {
      #expect(abs(Double(output[i]) - expected[i]) <= bound, "element \(i)")
    }
  }
}

/// sum(weight * output) of a case in Double, as a function of the sums, gamma and beta.
private struct DoubleLoss {
  private let norm: ReferenceNorm
  private let weights: [Double]
  private let kept: [Bool]?
  private let scale: Double
  private let epsilon: Double
  private let dim: Int
  /// x, gamma, beta.
  private let parameters: [[Double]]
  private let hasBeta: Bool

  init(_ c: NormalizeCase, weights: [Float]) {
    func doubles(_ values: [Float]) -> [Double] { values.map { Double($0) } }
    let normalization = c.layer.normalization
    norm = c.norm
    self.weights = doubles(weights)
    kept = c.kept
    scale = 1 / (1 - Double(c.rate))
    epsilon = Double(normalization?.epsilon ?? 0)
    dim = c.shape.dim
    hasBeta = normalization?.beta != nil
    parameters = [
      doubles(c.sums), doubles(normalization.map { floats($0.gamma) } ?? []),
      doubles(normalization?.beta.map { floats($0) } ?? []),
    ]
  }

  /// How much larger than an epsilon errors may be: (1 + r |x|) max(1, r) for the row where the
  /// reciprocal deviation r makes the most of it.
  var condition: Double {
    guard norm != .none else { return 1 }
    let x = parameters[0]
    return stride(from: 0, to: x.count, by: dim).map { start in
      let row = x[start..<start + dim]
      let mean = norm == .layer ? row.reduce(0, +) / Double(dim) : 0
      let square = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(dim)
      let reciprocal = 1 / (square + epsilon).squareRoot()
      let largest = row.map(abs).max() ?? 0
      return (1 + reciprocal * largest) * max(1, reciprocal)
    }.max() ?? 1
  }

  /// The derivative by element `i` of a parameter, and how large the terms of it are.
  func difference(_ parameter: Int, _ i: Int) -> (value: Double, magnitude: Double) {
    let h = 1e-6
    let (up, down) = (outputs(parameter, i, h), outputs(parameter, i, -h))
    var (value, magnitude) = (0.0, 0.0)
    for k in 0..<up.count {
      let term = weights[k] * (up[k] - down[k]) / (2 * h)
      value += term
      magnitude += abs(term)
    }
    return (value, magnitude)
  }

  private func outputs(_ parameter: Int, _ i: Int, _ h: Double) -> [Double] {
    var parameters = parameters
    parameters[parameter][i] += h
    return Reference.normalize(
      parameters[0], norm, gamma: parameters[1], beta: hasBeta ? parameters[2] : nil,
      epsilon: epsilon, kept: kept, dropoutScale: scale, dim: dim)
  }
}
