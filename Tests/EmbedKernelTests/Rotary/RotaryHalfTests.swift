// Rotating 16-bit elements: what the float rotation gives, rounded once, bit for bit by every
// backend.

import EmbedKernel
import TestSupport
import Testing

@Suite struct RotaryHalfTests {
  static let types: [ElementType] = [.float16, .bfloat16]

  @Test(arguments: RotaryPropertyTests.cases.inDebug(every: 2), types)
  func isTheFloatRotationRounded(_ c: RotaryPropertyTests.Case, _ type: ElementType) throws {
    if type == .float16 { try check(c, Half.self) } else { try check(c, BFloat16.self) }
  }

  private func check<Element: SixteenBitElement>(
    _ c: RotaryPropertyTests.Case, _ type: Element.Type
  ) throws {
    let x = drawn(c.batch * c.heads * c.context * c.headDim, seed: 5).map { Element($0) }
    let widened = x.map(\.float)
    for layout in RotaryLayout.allCases {
      let embedding = try RotaryEmbedding(
        headDim: c.headDim, rotaryDim: c.rotaryDim, layout: layout, tableBytes: 1 << 20)
      for order in HeadOrder.allCases {
        let shape = RotaryShape(
          batch: c.batch, heads: c.heads, context: c.context, headDim: c.headDim, order: order)
        for direction in RotaryDirection.allCases {
          let floats = try embedding.rotated(widened, shape, at: c.place, direction, using: .simd)
          let expected = floats.map { Element($0) }
          for kernels in exactWays {
            let apart = try rotated(embedding, x, shape, c.place, direction, kernels)
            #expect(apart == expected, "\(layout), \(order), \(direction), \(kernels)")
            let inPlace = try rotatedInPlace(embedding, x, shape, c.place, direction, kernels)
            #expect(inPlace == expected, "in place, \(layout), \(order), \(direction), \(kernels)")
          }
          for kernels in [Kernels.openBLAS, Kernels.openBLAS.threads(3)] {
            let blas = try rotated(embedding, x, shape, c.place, direction, kernels)
            let blasInPlace = try rotatedInPlace(embedding, x, shape, c.place, direction, kernels)
            let error = relativeError(blas.map(\.float), floats.map { Double($0) })
            #expect(error < (Element.self == Half.self ? 0x1p-11 : 0x1p-8) + 3e-7)
            #expect(blas == blasInPlace)
          }
        }
      }
    }
  }

  private func rotated<Element: TableElement>(
    _ embedding: RotaryEmbedding, _ x: [Element], _ shape: RotaryShape, _ place: PositionIDs,
    _ direction: RotaryDirection, _ kernels: Kernels
  ) throws -> [Element] {
    // Anything but the result.
    var y = [Element](x.reversed())
    var span = y.mutableSpan
    try embedding.rotate(
      x.span, shape: shape, at: place, direction, into: &span, using: kernels)
    return y
  }

  private func rotatedInPlace<Element: TableElement>(
    _ embedding: RotaryEmbedding, _ x: [Element], _ shape: RotaryShape, _ place: PositionIDs,
    _ direction: RotaryDirection, _ kernels: Kernels
  ) throws -> [Element] {
    var y = x
    var span = y.mutableSpan
    try embedding.rotate(inPlace: &span, shape: shape, at: place, direction, using: kernels)
    return y
  }

  /// Large enough for streaming stores, and misaligned memory.
  @Test(arguments: RotaryLayout.allCases, types)
  func largeAndUnaligned(_ layout: RotaryLayout, _ type: ElementType) throws {
    if type == .float16 {
      try checkLarge(layout, Half.self)
    } else {
      try checkLarge(layout, BFloat16.self)
    }
  }

  private func checkLarge<Element: SixteenBitElement>(
    _ layout: RotaryLayout, _ type: Element.Type
  ) throws {
    let shape = RotaryShape(batch: 2, heads: 8, context: 4_200, headDim: 64)
    let count = 2 * 8 * 4_200 * 64
    let embedding = try RotaryEmbedding(headDim: 64, layout: layout)
    let input = try AlignedBuffer<Element>(count: count + 32)
    let output = try AlignedBuffer<Element>(count: count + 32)
    let expected = try AlignedBuffer<Element>(count: count)
    let pattern = drawn(4_099, seed: 9).map { Element($0) }
    for (from, to) in [(0, 0), (3, 1)] {
      let x = unsafe UnsafeMutableBufferPointer(rebasing: input.unsafeBuffer[from..<from + count])
      let y = unsafe UnsafeMutableBufferPointer(rebasing: output.unsafeBuffer[to..<to + count])
      unsafe fill(x, repeating: pattern)
      if from == 0 {
        try unsafe embedding.rotate(
          UnsafeBufferPointer(x), shape: shape, into: expected.unsafeBuffer,
          using: Kernels(backend: .native, threads: 1, instructionSet: .plain))
      }
      for set in InstructionSet.allCases where set.isAvailable {
        unsafe fill(y, repeating: [Element(Float.nan)] + pattern.reversed())
        try unsafe embedding.rotate(
          UnsafeBufferPointer(x), shape: shape, into: y,
          using: Kernels(backend: .native, threads: 2, instructionSet: set))
        #expect(unsafe haveSameBytes(y, expected.unsafeBuffer), "\(set), offsets \(from), \(to)")
      }
    }
  }

  /// Several coordinates a token, whose rows are computed for each, in blocks of the head.
  @Test(arguments: [RotaryAxes.sections([4, 6, 6]), .axial(count: 2), .axialBlocks(count: 2)])
  func axes(_ axes: RotaryAxes) throws {
    let embedding = try RotaryEmbedding(headDim: 32, axes: axes)
    let shape = RotaryShape(batch: 2, heads: 3, context: 5, headDim: 32)
    let x = drawn(2 * 3 * 5 * 32, seed: 5).map { BFloat16($0) }
    let coordinates = (0..<axes.count * 10).map { Int32($0 * 7 % 50) }
    let widened = x.map(\.float)
    var floats = [Float](repeating: .nan, count: x.count)
    var floatSpan = floats.mutableSpan
    try embedding.rotate(
      widened.span, shape: shape, coordinates: coordinates.span, into: &floatSpan)
    for kernels in exactWays {
      var y = x
      var span = y.mutableSpan
      try embedding.rotate(
        x.span, shape: shape, coordinates: coordinates.span, into: &span, using: kernels)
      #expect(y == floats.map { BFloat16($0) }, "\(kernels)")
    }
  }

  @Test func groupedQueriesBeyondTheTrainedLength() throws {
    let factors = (0..<16).map { 1 + Double($0) / 4 }
    let scaling = try LongRoPEScaling(
      shortFactors: [Double](repeating: 1, count: 16), longFactors: factors, trainedLength: 8,
      factor: 4)
    let embedding = try RotaryEmbedding(headDim: 32, scaling: scaling)
    let shape = RotaryShape(batch: 2, heads: 4, context: 3, headDim: 32)
    let (q, k) = (drawn(2 * 4 * 3 * 32, seed: 1), drawn(2 * 2 * 3 * 32, seed: 2))
    var (halfQ, halfK) = (q.map { Half($0) }, k.map { Half($0) })
    let (floatQ, floatK) = (halfQ.map(\.float), halfK.map(\.float))
    var keyShape = shape
    keyShape.heads = 2
    let place = PositionIDs.offsets([2, 30])
    let expectedQ = try embedding.rotated(floatQ, shape, at: place).map { Half($0) }
    let expectedK = try embedding.rotated(floatK, keyShape, at: place).map { Half($0) }
    var qSpan = halfQ.mutableSpan
    var kSpan = halfK.mutableSpan
    try embedding.rotate(queries: &qSpan, keys: &kSpan, shape: shape, keyHeads: 2, at: place)
    #expect(halfQ == expectedQ)
    #expect(halfK == expectedK)
  }
}
