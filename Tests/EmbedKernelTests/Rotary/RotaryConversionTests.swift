// Converting checkpoints between the layouts of pairs, and per-sequence scales.

import EmbedKernel
import EmbedModels
import Testing

@Suite struct RotaryConversionTests {
  @Test(arguments: [(64, 64), (64, 32), (6, 6), (10, 4)])
  func roundTripAndEqualRotation(_ headDim: Int, _ rotaryDim: Int) throws {
    let (heads, inputs) = (3, 5)
    let weights = drawn(heads * headDim * inputs, seed: 1)
    for layout in RotaryLayout.allCases {
      let other: RotaryLayout = layout == .halves ? .interleaved : .halves
      func convert(_ w: [Float], _ from: RotaryLayout, _ to: RotaryLayout, _ row: Int) throws
        -> [Float]
      {
        var result = [Float](repeating: .nan, count: w.count)
        var span = result.mutableSpan
        try from.convertProjection(
          w.span, heads: heads, headDim: headDim, rotaryDim: rotaryDim, rowLength: row, to: to,
          into: &span)
        return result
      }
      let converted = try convert(weights, layout, other, inputs)
      #expect(headDim <= 2 || converted != weights)
      #expect(try convert(converted, other, layout, inputs) == weights)
      #expect(try convert(weights, layout, layout, inputs) == weights)

      // Rotating converted vectors is converting rotated vectors.
      let shape = RotaryShape(batch: 1, heads: heads, context: 1, headDim: headDim)
      let vectors = drawn(heads * headDim, seed: 2)
      let place = PositionIDs.sequential(offset: 11)
      func embedding(_ layout: RotaryLayout) throws -> RotaryEmbedding {
        try RotaryEmbedding(headDim: headDim, rotaryDim: rotaryDim, layout: layout)
      }
      let first = try embedding(other).rotated(
        convert(vectors, layout, other, 1), shape, at: place)
      let second = try convert(
        embedding(layout).rotated(vectors, shape, at: place), layout, other, 1)
      #expect(first == second)
    }
  }

  @Test func permutationIsThePublishedOne() throws {
    #expect(
      try RotaryLayout.interleaved.permutation(to: .halves, headDim: 8) == [0, 2, 4, 6, 1, 3, 5, 7])
    #expect(
      try RotaryLayout.halves.permutation(to: .interleaved, headDim: 8) == [0, 4, 1, 5, 2, 6, 3, 7])
    #expect(
      try RotaryLayout.halves.permutation(to: .interleaved, headDim: 6, rotaryDim: 4)
        == [0, 2, 1, 3, 4, 5])
  }

  @Test func staleCachesAreFlaggedAndRescaled() throws {
    let scaling = try DynamicNTKScaling(factor: 2, trainedLength: 16)
    let embedding = try RotaryEmbedding(headDim: 32, scaling: scaling)
    var scales = RotaryScales(sequences: 2)
    #expect(try scales.advance(embedding, lengths: [10, 20]) == [nil, nil])
    #expect(scales.scales == [.trained, .length(20)])
    #expect(try scales.advance(embedding, lengths: [11, 21]) == [nil, .length(20)])
    #expect(try scales.advance(embedding, lengths: [17, 21]) == [.trained, nil])
    try scales.clear(sequence: 1)
    #expect(throws: EmbedError.self) { try scales.clear(sequence: 2) }
    #expect(try scales.advance(embedding, lengths: [17, 40]) == [nil, nil])
    #expect(throws: EmbedError.self) { try scales.advance(embedding, lengths: [1]) }

    // Rescaled keys are what keys rotated anew are.
    let shape = RotaryShape(batch: 1, heads: 2, context: 16, headDim: 32)
    let keys = drawn(2 * 16 * 32, seed: 6)
    var cached = try embedding.rotated(keys, shape, under: .trained)
    let anew = try embedding.rotated(keys, shape, under: .length(24))
    #expect(cached != anew)
    var span = cached.mutableSpan
    try embedding.rescale(&span, shape: shape, from: .trained, to: .length(24))
    #expect(relativeError(cached, anew.map { Double($0) }) < 3e-7)
  }

  @Test func aBatchTakesAScaleASequence() throws {
    let factors = (0..<16).map { 1 + Double($0) / 4 }
    let scaling = try LongRoPEScaling(
      shortFactors: [Double](repeating: 1, count: 16), longFactors: factors, trainedLength: 8,
      factor: 4)
    let embedding = try RotaryEmbedding(headDim: 32, scaling: scaling)
    let shape = RotaryShape(batch: 2, heads: 2, context: 4, headDim: 32)
    let x = drawn(2 * 2 * 4 * 32, seed: 8)
    var y = x
    var span = y.mutableSpan
    try embedding.rotate(
      inPlace: &span, shape: shape, at: .offsets([0, 20]), scales: [.trained, .extended])
    var one = shape
    one.batch = 1
    let half = x.count / 2
    #expect(Array(y[..<half]) == (try embedding.rotated(Array(x[..<half]), one)))
    let second = try embedding.rotated(Array(x[half...]), one, at: .sequential(offset: 20))
    #expect(Array(y[half...]) == second)
    let wrong = try embedding.rotated(
      Array(x[half...]), one, at: .sequential(offset: 20), under: .trained)
    #expect(second != wrong)
  }
}
