// The rotary schemes against the libraries that define them: transformers, x-transformers and
// torchscale, whose own code made the fixtures in Double.

import EmbedKernel
import Testing

@Suite struct RotaryFixtureTests {
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
