// A scheme made outside the library, as the documentation shows it: what it sets is used by every
// part of a rotation.

import EmbedKernel
import Testing

/// The documentation's example, with a second set of angles past a length.
private struct HalvedScaling: RotaryScaling {
  let factor: Double

  func frequencies(_ geometry: RotaryGeometry, under scale: RotaryScale) -> RotaryFrequencies {
    let divisor = scale == .extended ? 2 * factor : 2
    return RotaryFrequencies(geometry.frequencies.map { $0 / divisor }, attentionFactor: 1.5)
  }

  func scale(length: Int) -> RotaryScale { length > 10 ? .extended : .trained }
}

/// One angle too few.
private struct ShortScaling: RotaryScaling {
  func frequencies(_ geometry: RotaryGeometry, under scale: RotaryScale) -> RotaryFrequencies {
    RotaryFrequencies(Array(geometry.frequencies.dropFirst()))
  }
}

/// An angle that is no number.
private struct BrokenScaling: RotaryScaling {
  func frequencies(_ geometry: RotaryGeometry, under scale: RotaryScale) -> RotaryFrequencies {
    RotaryFrequencies(geometry.frequencies.map { _ in .nan })
  }
}

extension AbsolutePositions {
  /// The documentation's example.
  fileprivate static func ramp(maximum: Int) -> AbsolutePositions {
    AbsolutePositions(name: "ramp", isTrained: false) { (dim, _) throws(EmbedError) in
      let table = try EmbeddingTable<Float>(rows: maximum, dim: dim)
      table.withMutableSpan { rows in
        for i in 0..<rows.count { rows[i] = Float(i / dim) / Float(maximum) }
      }
      return table
    }
  }
}

@Suite struct RotaryNewSchemeTests {
  @Test func aScalingFromOutside() throws {
    let embedding = try RotaryEmbedding(headDim: 16, scaling: HalvedScaling(factor: 4))
    let shape = RotaryShape(batch: 1, heads: 2, context: 4, headDim: 16)
    let x = drawn(2 * 4 * 16, seed: 1)
    for (offset, scale) in [(0, RotaryScale.trained), (6, .trained), (7, .extended)] {
      let expected = try reference(
        x, shape, embedding, positions: (0..<4).map { offset + $0 }, under: scale)
      for kernels in exactWays {
        let y = try embedding.rotated(x, shape, at: .sequential(offset: offset), using: kernels)
        #expect(relativeError(y, expected) < 3e-7)
      }
    }
    #expect(RotaryScales.isStale(.trained, embedding, length: 11))
    #expect(!RotaryScales.isStale(.trained, embedding, length: 10))
  }

  @Test func aScalingThatDoesNotFitIsRefused() throws {
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "frequencies", expected: 8, shape: [8], actual: 7)
    ) {
      try RotaryEmbedding(headDim: 16, scaling: ShortScaling())
    }
    #expect {
      try RotaryEmbedding(headDim: 16, scaling: BrokenScaling())
    } throws: { error in
      guard case .invalidValue("frequency", _, _)? = error as? EmbedError else { return false }
      return true
    }
  }

  @Test func absolutePositionsFromOutside() throws {
    let layer = try InputEmbedding(vocabulary: 3, dim: 2, positions: .ramp(maximum: 4), seed: 1)
    var output = try layer.makeOutput(batch: 1, context: 4)
    try layer.forward([2, 2, 2, 2] as [Int32], batch: 1, context: 4, into: &output)
    let span = output.span
    let first = unsafe layer.tokens.table.unsafeBuffer[2 * 2]
    for t in 0..<4 {
      let (actual, expected) = (span[2 * t], first + Float(t) / 4)
      #expect(actual == expected)
    }
  }
}
