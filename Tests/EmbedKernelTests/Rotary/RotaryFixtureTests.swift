// The rotary schemes against the libraries that define them: transformers, x-transformers and
// torchscale, whose own code made the fixtures in Double.

import EmbedKernel
import Testing

@Suite struct RotaryFixtureTests {
  @Test(arguments: try RotaryFixtures.scalings())
  func frequenciesAreThoseOfTransformers(_ fixture: RotaryFixtures.Scaling) throws {
    let embedding = try RotaryEmbedding(
      RotaryConfiguration(json: fixture.config, layerType: fixture.layerType))
    let scale = embedding.scaling.scale(length: fixture.length ?? 1)
    let angles = try embedding.frequencies(under: scale)
    #expect(angles.radians.count == fixture.frequencies.count)
    for (pair, (actual, expected)) in zip(angles.radians, fixture.frequencies).enumerated() {
      #expect(abs(actual - expected) <= 1e-12 * expected, "pair \(pair): \(actual), \(expected)")
    }
    #expect(abs(angles.attentionFactor - fixture.factor) <= 1e-12)
  }

  @Test(arguments: try RotaryFixtures.rotations())
  func rotationsAreThoseOfTheModels(_ fixture: RotaryFixtures.Rotation) throws {
    let axes: RotaryAxes? =
      switch fixture.axes?.first {
      case nil: nil
      case ("sections", let sections)?: .sections(sections)
      case ("interleavedSections", let sections)?: .interleavedSections(sections)
      case ("axial", let counts)?: .axial(count: counts[0])
      case ("axialBlocks", let counts)?: .axialBlocks(count: counts[0])
      case .some: throw CancellationError()
      }
    let layout = try #require(RotaryLayout(rawValue: fixture.layout))
    let shape = RotaryShape(fixture.shape)
    // A table with all positions, one with some and none at all give the same bits.
    for tableBytes in [256 << 20, 1 << 10, 0] {
      let embedding = try RotaryEmbedding(
        headDim: fixture.headDim, base: fixture.base, layout: layout, axes: axes,
        tableBytes: tableBytes)
      for kernels in exactWays + [.openBLAS] {
        var output = [Float](repeating: .nan, count: fixture.input.count)
        var span = output.mutableSpan
        if axes == nil {
          try embedding.rotate(
            fixture.input.span, shape: shape, at: .explicit(fixture.positions), into: &span,
            using: kernels)
        } else {
          try embedding.rotate(
            fixture.input.span, shape: shape, coordinates: fixture.positions.span, into: &span,
            using: kernels)
        }
        let error = relativeError(output, fixture.expected)
        #expect(error < 2e-7, "\(kernels), table of \(tableBytes) bytes")
      }
    }
  }

  @Test func lerope() throws {
    let fixture = try RotaryFixtures.learned().lerope
    let shape = RotaryShape(fixture.shape)
    let learned = try LearnedRotary(RotaryEmbedding(headDim: shape.headDim))
    learned.alpha.withMutableSpan { for i in 0..<$0.count { $0[i] = fixture.alpha[i] } }
    try learned.refresh()
    let output = try learned.embedding.rotated(fixture.input, shape)
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
    let fixture = try RotaryFixtures.learned().pope
    let shape = RotaryShape(fixture.shape)
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

  @Test func xpos() throws {
    let fixture = try RotaryFixtures.learned().xpos
    let shape = RotaryShape(fixture.shape)
    let embedding = try RotaryEmbedding(
      headDim: shape.headDim, layout: .interleaved, decay: XPosDecay(center: fixture.center))
    for (role, expected) in [(RotaryRole.queries, fixture.queries), (.keys, fixture.keys)] {
      let output = try embedding.rotated(fixture.input, shape, as: role)
      #expect(relativeError(output, expected) < 1e-6)
      let gradient = try embedding.rotated(fixture.outputGradient, shape, .backward, as: role)
      #expect(
        relativeError(
          gradient, role == .keys ? fixture.keyInputGradient : fixture.queryInputGradient) < 1e-6)
    }
  }

  @Test(arguments: try RotaryFixtures.mlx())
  func rotationsAreThoseOfMLX(_ fixture: RotaryFixtures.MLX) throws {
    let layout = try #require(RotaryLayout(rawValue: fixture.layout))
    let shape = RotaryShape(fixture.shape)
    var scaling: any RotaryScaling = NoScaling()
    if fixture.scale != 1 { scaling = try LinearScaling(factor: 1 / fixture.scale) }
    if let divisors = fixture.divisors {
      scaling = FixedFrequencies(
        RotaryFrequencies(
          zip(RotaryGeometry(rotaryDim: fixture.rotaryDim, base: 10_000).frequencies, divisors)
            .map { $0 / $1 }))
    }
    let embedding = try RotaryEmbedding(
      headDim: shape.headDim, rotaryDim: fixture.rotaryDim, layout: layout, scaling: scaling)
    let place = PositionIDs.offsets(fixture.offsets)
    let definition = try reference(
      fixture.input, shape, embedding,
      positions: fixture.offsets.flatMap { offset in
        (0..<shape.context).map { Int(offset) + $0 }
      })
    for kernels in exactWays + [.openBLAS] {
      let output = try embedding.rotated(fixture.input, shape, at: place, using: kernels)
      #expect(relativeError(output, fixture.expected) < 1e-6)
      #expect(relativeError(output, definition) < 1e-6)
    }
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

  /// Figures that the papers and models publish.
  @Test func publishedFigures() throws {
    let one = RotaryShape(batch: 1, heads: 1, context: 1, headDim: 4)
    let x: [Float] = [1, 2, 3, 4]
    let expected: [RotaryLayout: [Double]] = [
      .interleaved: [-1.14264, 1.92208, 2.95985, 4.02980],
      .halves: [-1.98411, 1.95990, 2.46238, 4.01980],
    ]
    for (layout, expected) in expected {
      let y = try RotaryEmbedding(headDim: 4, layout: layout)
        .rotated(x, one, at: .sequential(offset: 1))
      #expect(relativeError(y, expected) < 2e-6)
    }
    let geometry = RotaryGeometry(rotaryDim: 128, base: 10_000)
    func base(_ angles: RotaryFrequencies) -> Double { 1 / angles.radians[1].power(64) }
    let ntk = try NTKScaling(factor: 4).frequencies(geometry, under: .trained)
    #expect(abs(base(ntk) - 40_889.94) < 0.01)
    let dynamic = try DynamicNTKScaling(factor: 2, trainedLength: 4_096)
    for (length, expected) in [(8_192, 30_527.74), (16_384, 72_195.86)] {
      let angles = try dynamic.frequencies(geometry, under: dynamic.scale(length: length))
      #expect(abs(base(angles) - expected) < 0.01)
    }
    let parts = try NTKByPartsScaling(factor: 16, trainedLength: 4_096)
    #expect(parts.rampEnds(geometry) == (20, 46))
    #expect(abs(try YaRNScaling(parts).attentionFactor - 1.277259) < 1e-6)
    let ones = [Double](repeating: 1, count: 64)
    let long = try LongRoPEScaling(
      shortFactors: ones, longFactors: ones, trainedLength: 4_096, factor: 32)
    #expect(abs(long.attentionFactor - 1.190238) < 1e-6)
    let llama = try Llama3Scaling(factor: 8, trainedLength: 8_192).frequencies(
      RotaryGeometry(rotaryDim: 128, base: 500_000), under: .trained)
    let unscaled = RotaryGeometry(rotaryDim: 128, base: 500_000).frequencies
    #expect(llama.radians[28] == unscaled[28])
    #expect(abs(llama.radians[29] - 0.00216657) < 1e-8)
    #expect(llama.radians[35] == unscaled[35] / 8)
  }
}

extension Double {
  fileprivate func power(_ exponent: Int) -> Double {
    (0..<exponent).reduce(1) { product, _ in product * self }
  }
}
