// Bad embeddings and calls: errors that name the argument, and nothing written.

import EmbedKernel
import Testing

@Suite struct RotaryErrorTests {
  @Test func sectionsThatFit() {
    #expect(throws: EmbedError.self) {
      try RotaryEmbedding(headDim: 8, axes: .alternatingSections([1, 2, 1]))
    }
    #expect(throws: EmbedError.self) {
      try RotaryEmbedding(headDim: 8, axes: .alternating(count: 0))
    }
  }

  @Test func noSizeIsTooLarge() {
    for dim in [1 << 17, 1 << 32, 1_000_000_000_000_000_000] {
      #expect(
        throws: EmbedError.invalidSize(argument: "headDim", value: dim, expected: "at most 65536")
      ) { try RotaryEmbedding(headDim: dim) }
    }
    #expect(throws: EmbedError.self) {
      try RotaryEmbedding(headDim: 8, decay: XPosDecay(center: .max))
    }
    #expect(throws: EmbedError.self) {
      try RotaryEmbedding(headDim: 1 << 16).rows(first: 0, count: Int(Int32.max))
    }
  }

  @Test func badEmbeddings() {
    func error(_ make: () throws -> Void) -> EmbedError? {
      do { try make() } catch { return error as? EmbedError }
      return nil
    }
    #expect(
      error { _ = try RotaryEmbedding(headDim: 7) }
        == .invalidSize(argument: "headDim", value: 7, expected: "an even number of 2...7"))
    #expect(
      error { _ = try RotaryEmbedding(headDim: 8, rotaryDim: 10) }
        == .invalidSize(argument: "rotaryDim", value: 10, expected: "an even number of 2...8"))
    #expect(
      error { _ = try RotaryEmbedding(headDim: 8, rotaryDim: 3) }
        == .invalidSize(argument: "rotaryDim", value: 3, expected: "an even number of 2...8"))
    #expect(
      error { _ = try RotaryEmbedding(headDim: 0) }
        == .invalidSize(argument: "headDim", value: 0, expected: "1 or more"))
    #expect(
      error { _ = try RotaryEmbedding(headDim: 8, tableBytes: -1) }
        == .invalidSize(argument: "tableBytes", value: -1, expected: "0 or more"))
    for base in [Double.nan, .infinity, 0, -1] {
      guard
        case .invalidValue("base", _, _)? = error({
          _ = try RotaryEmbedding(headDim: 8, base: base)
        })
      else {
        Issue.record("base \(base) was taken")
        continue
      }
    }
    #expect(error { _ = try NTKScaling(factor: .nan) } != nil)
    #expect(
      error { _ = try Llama3Scaling(factor: 8, lowFrequencyFactor: 5, trainedLength: 9) } != nil)
    #expect(error { _ = try RotaryEmbedding(headDim: 8, axes: .sections([1, 1])) } != nil)
    #expect(error { _ = try RotaryEmbedding(headDim: 10, axes: .axial(count: 2)) } != nil)
    #expect(
      error { _ = try RotaryEmbedding(headDim: 2, scaling: NTKScaling(factor: 2)) } != nil)
  }

  @Test func badCallsWriteNothing() throws {
    let embedding = try RotaryEmbedding(headDim: 8)
    let shape = RotaryShape(batch: 1, heads: 2, context: 2, headDim: 8)
    let x = drawn(32, seed: 1)
    func error(
      _ shape: RotaryShape, _ place: PositionIDs = .sequential(),
      with other: RotaryEmbedding? = nil, count: Int = 32, threads: Int? = nil
    ) -> EmbedError? {
      var y = [Float](repeating: 42, count: count)
      var span = y.mutableSpan
      defer { #expect(y.allSatisfy { $0 == 42 }) }
      do throws(EmbedError) {
        try (other ?? embedding).rotate(
          x.span, shape: shape, at: place, into: &span, using: Kernels(threads: threads))
      } catch {
        return error
      }
      return nil
    }
    #expect(
      error(shape, count: 31)
        == .wrongElementCount(argument: "output", expected: 32, shape: [1, 2, 2, 8], actual: 31))
    #expect(
      error(shape, .sequential(offset: Int(Int32.max)))
        == .contextTooLong(offset: Int(Int32.max), context: 2, maximum: Int(Int32.max) + 1))
    #expect(
      error(shape, .sequential(offset: -1))
        == .invalidSize(argument: "position offset", value: -1, expected: "0 or more"))
    #expect(
      error(shape, .explicit([0, -3])).map { "\($0)".contains("position -3") } == true)
    #expect(error(shape, .offsets([Int32.max])) != nil)
    #expect(error(shape, threads: 0) != nil)
    var wrong = shape
    wrong.headDim = 4
    #expect(
      error(wrong)
        == .invalidSize(
          argument: "headDim", value: 4, expected: "the rotary embedding's, 8"))
    for (batch, heads) in [(Int.max, 2), (.max, 0), (-1, 2), (1, -2)] {
      wrong = shape
      wrong.batch = batch
      wrong.heads = heads
      #expect(error(wrong) != nil, "batch \(batch), heads \(heads)")
    }
    #expect(
      error(shape, .packed(cumulativeLengths: [0, 2, 1, 2]))
        == .invalidCumulativeLength(index: 2, value: 1, expected: "at least the one before it, 2"))
    #expect(
      error(shape, .mask([1]))
        == .wrongElementCount(argument: "mask", expected: 2, shape: [1, 2], actual: 1))
    #expect(
      error(shape, .offsets([-1]))
        == .positionOutOfRange(position: -1, batchRow: 0, index: 0, maximum: Int(Int32.max) + 1))
    // xPos factors leave fp32's range.
    let xpos = try RotaryEmbedding(headDim: 8, decay: XPosDecay())
    #expect(error(shape, .sequential(offset: 50_000), with: xpos) != nil)
    // Overlap that is not in place.
    let buffer = try AlignedBuffer<Float>(count: 40)
    #expect(throws: EmbedError.overlappingMemory(argument: "input")) {
      try unsafe embedding.rotate(
        UnsafeBufferPointer(rebasing: buffer.unsafeBuffer[0..<32]), shape: shape,
        into: UnsafeMutableBufferPointer(rebasing: buffer.unsafeBuffer[8..<40]))
    }
  }
}
