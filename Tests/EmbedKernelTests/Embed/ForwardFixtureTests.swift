// The forward path against PyTorch's own output, bit for bit, through the kernels and the layers.

import EmbedKernel
import Testing

@Suite struct ForwardFixtureTests {
  @Test(arguments: try ForwardFixtures.cases())
  func passHasPyTorchsBits(_ fixture: ForwardFixtures.Case) throws {
    let (ids, tokens) = (try fixture.readIDs(), try floats(fixture.tokens))
    let positions = try fixture.positions.map { try floats($0) }
    let expected = try floats(fixture.expected)
    for way in Way.all {
      let output = try embed(
        way, ids: ids, tokens: tokens, positions: positions,
        shape: EmbeddingShape(
          vocabulary: fixture.vocabulary, batch: fixture.batch, context: fixture.context,
          dim: fixture.dim),
        at: fixture.place, options: EmbedOptions(scale: fixture.scale ?? 1))
      expectSameBits(output, expected, "\(fixture.name), \(way)")
    }
  }

  @Test(arguments: try ForwardFixtures.cases())
  func layerHasPyTorchsBits(_ fixture: ForwardFixtures.Case) throws {
    let rows = try floats(fixture.tokens)
    let table = try EmbeddingTable<Float>(
      rows: fixture.vocabulary, dim: fixture.dim, copying: rows.span)
    let tokens = try TokenEmbedding(table: table, paddingID: fixture.paddingID)
    tokens.clearPaddingRow()
    var positions: EmbeddingTable<Float>?
    if let name = fixture.positions, let maximum = fixture.maximumContext {
      let rows = try floats(name)
      positions = try EmbeddingTable<Float>(rows: maximum, dim: fixture.dim, copying: rows.span)
    }
    let layer = try InputEmbedding(
      tokens: tokens, positions: positions, scale: .value(fixture.scale ?? 1))
    var output = try layer.makeOutput(batch: fixture.batch, context: fixture.context)
    try layer.forward(
      fixture.readIDs(), batch: fixture.batch, context: fixture.context, at: fixture.place,
      into: &output)
    expectSameBits(output.elements, try floats(fixture.expected), fixture.name)
  }

  /// The fixtures are correctly rounded; a Double's sine of an argument near 10^6 radians may be
  /// off by a rounding of the argument (1e-10), which moves a Float by at most one step.
  @Test(arguments: try ForwardFixtures.sinusoidal())
  func sinusoidsAreExactToOneRounding(_ fixture: ForwardFixtures.Sinusoidal) throws {
    let layout: SinusoidLayout =
      switch (fixture.layout, fixture.exponents) {
      case (.interleaved, _): .interleaved
      case (.concatenated, .pairs): .concatenated
      case (.concatenated, .endpoints): .tensor2tensor
      }
    let expected = try floats(fixture.table)
    var different = 0
    for (row, position) in fixture.positionIDs.enumerated() {
      let table = try AbsolutePositions.sinusoids(
        rows: 1, dim: fixture.dim, layout: layout, base: fixture.base, first: position)
      for i in 0..<fixture.dim {
        let (actual, exact) = (table[0][i], expected[row * fixture.dim + i])
        if actual.bitPattern != exact.bitPattern { different += 1 }
        #expect(
          actual == exact || actual == exact.nextUp || actual == exact.nextDown,
          "position \(position), column \(i): \(actual) instead of \(exact)")
      }
    }
    // Near ties only: a wrong formula or a Float angle would move far more than 1 in 200.
    #expect(different * 200 <= expected.count)
  }

  private func floats(_ name: String) throws -> [Float] {
    try unsafe NumPyArray<Float>(contentsOf: ForwardFixtures.path(name))
      .withUnsafeBufferPointer { unsafe Array($0) }
  }
}

extension ForwardFixtures.Case {
  fileprivate var place: PositionIDs {
    if let positionIDs { return .explicit(positionIDs.map { Int32($0) }) }
    if let cumulativeLengths {
      return .packed(cumulativeLengths: cumulativeLengths.map { Int32($0) })
    }
    if let mask { return .mask(mask) }
    return .sequential(offset: offset ?? 0)
  }

  fileprivate func readIDs() throws -> [Int] {
    let path = ForwardFixtures.path(ids)
    if try NumPyHeader(contentsOf: path).elementType == .int32 {
      return try unsafe NumPyArray<Int32>(contentsOf: path)
        .withUnsafeBufferPointer { unsafe $0.map { Int($0) } }
    }
    return try unsafe NumPyArray<Int64>(contentsOf: path)
      .withUnsafeBufferPointer { unsafe $0.map { Int($0) } }
  }
}

extension AlignedBuffer where Element == Float {
  /// A copy, for comparing.
  var elements: [Float] { unsafe Array(unsafeBuffer) }
}
