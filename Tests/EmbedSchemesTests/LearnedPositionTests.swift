// LeRoPE and PoPE against transformers and x-transformers, whose own code made the fixtures in Double.

import EmbedKernel
import EmbedSchemes
import Foundation
import Testing

/// What EmbedKernel's Fixtures/rotary/learned.json holds of these.
struct LearnedFixtures: Decodable, Sendable {
  struct LeRoPE: Decodable, Sendable {
    let shape: [Int]
    let alpha, input, outputGradient: [Float]
    let expected, inputGradient, alphaGradient: [Double]
  }
  struct PoPE: Decodable, Sendable {
    let shape: [Int]
    let phases, input, queryOutputGradient, keyOutputGradient: [Float]
    let queries, keys, queryInputGradient, keyInputGradient, phaseGradient: [Double]
  }
  let lerope: LeRoPE
  let pope: PoPE

  static func load() throws -> LearnedFixtures {
    let path = Fixtures.ofEmbedKernel.appending(path: "rotary/learned.json")
    return try JSONDecoder().decode(LearnedFixtures.self, from: Data(contentsOf: path))
  }
}

@Suite struct LearnedPositionTests {
  @Test func lerope() throws {
    let fixture = try LearnedFixtures.load().lerope
    let shape = RotaryShape(
      batch: fixture.shape[0], heads: fixture.shape[1], context: fixture.shape[2],
      headDim: fixture.shape[3])
    let learned = try LearnedRotary(RotaryEmbedding(headDim: shape.headDim))
    learned.alpha.withMutableSpan { for i in 0..<$0.count { $0[i] = fixture.alpha[i] } }
    try learned.refresh()
    var output = [Float](repeating: .nan, count: fixture.input.count)
    var outputSpan = output.mutableSpan
    try learned.embedding.rotate(fixture.input.span, shape: shape, into: &outputSpan)
    #expect(relativeError(output, fixture.expected) < 1e-6)

    var gradient = fixture.outputGradient
    var alphaGradient = [Float](repeating: 1, count: fixture.alpha.count)
    var gradientSpan = gradient.mutableSpan
    var alphaSpan = alphaGradient.mutableSpan
    try learned.backward(
      fixture.input.span, shape: shape, outputGradient: &gradientSpan, alphaGradient: &alphaSpan)
    #expect(relativeError(gradient, fixture.inputGradient) < 1e-6)
    // The gradient was added to ones.
    #expect(relativeError(alphaGradient, fixture.alphaGradient.map { $0 + 1 }) < 1e-6)
  }

  @Test(arguments: RotaryRole.allCases) func pope(_ role: RotaryRole) throws {
    let fixture = try LearnedFixtures.load().pope
    let shape = RotaryShape(
      batch: fixture.shape[0], heads: fixture.shape[1], context: fixture.shape[2],
      headDim: fixture.shape[3])
    let polar = try PolarEmbedding(headDim: shape.headDim, heads: shape.heads)
    polar.phases.withMutableSpan { for i in 0..<$0.count { $0[i] = fixture.phases[i] } }
    var output = [Float](repeating: .nan, count: 2 * fixture.input.count)
    var outputSpan = output.mutableSpan
    try polar.forward(fixture.input.span, shape: shape, as: role, into: &outputSpan)
    #expect(relativeError(output, role == .keys ? fixture.keys : fixture.queries) < 1e-6)

    var inputGradient = [Float](repeating: .nan, count: fixture.input.count)
    var phaseGradient = [Float](repeating: 0, count: fixture.phases.count)
    var inputSpan = inputGradient.mutableSpan
    var phaseSpan = phaseGradient.mutableSpan
    let given = role == .keys ? fixture.keyOutputGradient : fixture.queryOutputGradient
    try polar.backward(
      fixture.input.span, shape: shape, as: role, outputGradient: given.span, into: &inputSpan,
      phaseGradient: &phaseSpan)
    let expected = role == .keys ? fixture.keyInputGradient : fixture.queryInputGradient
    #expect(relativeError(inputGradient, expected) < 1e-6)
    let expectedPhases =
      role == .keys ? fixture.phaseGradient : fixture.phases.map { _ in 0 }
    #expect(relativeError(phaseGradient, expectedPhases) < 1e-6)
    #expect(fixture.phases.contains { $0 > 0 || $0 < -6.3 }, "no phase is outside its range")
  }

  /// The sums of learned schemes are the same for every number of threads.
  @Test func learnedGradientsDoNotDependOnThreads() throws {
    let shape = RotaryShape(batch: 3, heads: 4, context: 50, headDim: 16, order: .contextFirst)
    let count = 3 * 4 * 50 * 16
    let (x, gradient) = (drawn(count, seed: 1), drawn(2 * count, seed: 2))
    let learned = try LearnedRotary(RotaryEmbedding(headDim: 16))
    let polar = try PolarEmbedding(headDim: 16, heads: 4)
    polar.phases.withMutableSpan { for i in 0..<$0.count { $0[i] = -Float(i % 7) } }
    var first: [[UInt32]]?
    for threads in 1...4 {
      let kernels = Kernels(threads: threads)
      var turned = Array(gradient[..<count])
      var alpha = [Float](repeating: 0, count: 8)
      var turnedSpan = turned.mutableSpan
      var alphaSpan = alpha.mutableSpan
      try learned.backward(
        x.span, shape: shape, at: .mask([UInt8](repeating: 1, count: 150)),
        outputGradient: &turnedSpan, alphaGradient: &alphaSpan, using: kernels)
      var output = [Float](repeating: 0, count: 2 * count)
      var outputSpan = output.mutableSpan
      try polar.forward(x.span, shape: shape, as: .keys, into: &outputSpan, using: kernels)
      var inputGradient = [Float](repeating: .nan, count: count)
      var phases = [Float](repeating: 0, count: 64)
      var inputSpan = inputGradient.mutableSpan
      var phaseSpan = phases.mutableSpan
      try polar.backward(
        x.span, shape: shape, as: .keys, outputGradient: gradient.span, into: &inputSpan,
        phaseGradient: &phaseSpan, using: kernels)
      let bits = [turned, alpha, output, inputGradient, phases].map { $0.map(\.bitPattern) }
      #expect(first == nil || first == bits, "\(threads) threads")
      first = bits
    }
  }
}
