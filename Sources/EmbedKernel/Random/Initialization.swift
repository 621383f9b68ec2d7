// How a table's first values are drawn. Element i comes from word i of the Philox stream, so the
// result is the same for every thread count.

/// The distribution of a new table's values.
public enum Initialization: Hashable, Sendable {
  /// Normal with mean 0 and standard deviation `sigma`; GPT-2 takes 0.02.
  case normal(sigma: Float)

  /// Uniform in `low..<high`.
  case uniform(low: Float, high: Float)

  /// All zeros.
  case zeros

  /// Fills `elements` on all cores with a table's from element `first` on, a multiple of 4.
  ///
  /// - Throws: `invalidValue` where sigma is negative or a bound is not finite or out of order.
  package func fill(
    _ elements: UnsafeMutableBufferPointer<Float>, seed: UInt64, stream: UInt64 = 0,
    from first: Int = 0, threads: Int = Threads.available
  ) throws(EmbedError) {
    try check()
    let generator = Philox4x32(seed: seed)
    let blocks = (elements.count + 3) / 4
    Threads.split(blocks, blocks < parallelBlocks ? 1 : threads) { range in
      let end = min(range.upperBound * 4, elements.count)
      unsafe fill(elements, range.lowerBound * 4..<end, first / 4, generator, stream)
    }
  }

  private func check() throws(EmbedError) {
    switch self {
    case .normal(let sigma):
      guard sigma.isFinite, sigma >= 0 else {
        throw .invalidValue(
          argument: "sigma", value: Double(sigma), expected: "a finite number, 0 or more")
      }
    case .uniform(let low, let high):
      guard low.isFinite else {
        throw .invalidValue(argument: "low", value: Double(low), expected: "a finite number")
      }
      guard high.isFinite, high >= low, (high - low).isFinite else {
        throw .invalidValue(
          argument: "high", value: Double(high), expected: "a finite number, \(low) or more")
      }
    case .zeros: break
    }
  }

  private func fill(
    _ elements: UnsafeMutableBufferPointer<Float>, _ range: Range<Int>, _ first: Int,
    _ generator: Philox4x32, _ stream: UInt64
  ) {
    switch self {
    case .normal(let sigma):
      unsafe draw(elements, range, first, generator, stream) {
        Float(Double(sigma) * normalQuantile($0))
      }
    case .uniform(let low, let high):
      // 24 bits, so that the largest fraction is below 1 in Float as well.
      let width = high - low
      unsafe draw(elements, range, first, generator, stream) { word in
        let value = low + width * (Float(word >> 8) * 0x1p-24)
        return value < high ? value : max(low, high.nextDown)
      }
    case .zeros:
      unsafe elements[range].update(repeating: 0)
    }
  }

  @inline(__always)
  private func draw(
    _ elements: UnsafeMutableBufferPointer<Float>, _ range: Range<Int>, _ first: Int,
    _ generator: Philox4x32, _ stream: UInt64, _ value: (UInt32) -> Float
  ) {
    for start in stride(from: range.lowerBound, to: range.upperBound, by: 4) {
      let words = generator.block(UInt64(first + start / 4), stream: stream)
      for lane in 0..<min(4, range.upperBound - start) {
        unsafe elements[start + lane] = value(words[lane])
      }
    }
  }
}

private let parallelBlocks = 1 << 14
