// GGUF's Q4_K: blocks of 256 columns, 4 bits each, in eight parts of 32 with 6 bits of scale and of minimum,
// and fp16 scales of both. Column c of part j is (d * scale[j]) * q - (dmin * minimum[j]).
//
// A part's scale and minimum are those of twenty-one candidates, and of least squares for each, with the
// smallest sum of squared errors weighted by rms(x) + |x|, as ggml's reference quantiser chooses them: each
// candidate starts from the minimum of the best before it.

internal import CKernels
internal import EmbedKernel

/// fp16 d, fp16 dmin, 12 bytes of scales and minima, 4 bits (256).
enum Q4_KRows: BlockCoding {
  static var code: ek_row_format { EK_ROWS_Q4_K }
  static var block: Int { 256 }
  static var blockBytes: Int { 144 }

  private static let parts = 8

  static func encodeBlock(_ block: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer)
    -> Bool
  {
    unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: self.block) { levels in
      unsafe withUnsafeTemporaryAllocation(of: PartRange.self, capacity: parts) { ranges in
        unsafe encode(block, levels, ranges, bytes)
      }
    }
  }

  /// - Parameters:
  ///   - levels: For those of the block.
  ///   - ranges: For those of its parts.
  private static func encode(
    _ block: UnsafeBufferPointer<Float>, _ levels: UnsafeMutableBufferPointer<UInt8>,
    _ ranges: UnsafeMutableBufferPointer<PartRange>, _ bytes: UnsafeMutableRawPointer
  ) -> Bool {
    var largest = PartRange(scale: 0, minimum: 0)
    for part in 0..<parts {
      let columns = 32 * part..<32 * part + 32
      let range = unsafe PartRange(
        of: UnsafeBufferPointer(rebasing: block[columns]),
        levels: UnsafeMutableBufferPointer(rebasing: levels[columns]))
      unsafe ranges[part] = range
      // Not by `max`, which would take a minimum of -0.
      if range.scale > largest.scale { largest.scale = range.scale }
      if range.minimum > largest.minimum { largest.minimum = range.minimum }
    }
    let inverse = PartRange(
      scale: largest.scale > 0 ? 63 / largest.scale : 0,
      minimum: largest.minimum > 0 ? 63 / largest.minimum : 0)
    let d = unsafe bytes.storeHalf(largest.scale / 63)
    let dmin = unsafe bytes.storeHalf(largest.minimum / 63, at: 2)
    guard d.isFinite, dmin.isFinite else { return false }
    unsafe (bytes + 4).initializeMemory(as: UInt8.self, repeating: 0, count: 12)
    for part in 0..<parts {
      let scale = unsafe sixBits(inverse.scale * ranges[part].scale)
      let minimum = unsafe sixBits(inverse.minimum * ranges[part].minimum)
      unsafe pack(scale, minimum, part, bytes + 4)
      // The levels of the best fit stay where they count for nothing.
      let (step, shift) = (d * Float(scale), dmin * Float(minimum))
      for i in 32 * part..<32 * part + 32 where step != 0 {
        let q = unsafe ((block[i] + shift) / step).rounded(.toNearestOrEven)
        unsafe levels[i] = UInt8(level: max(0, min(15, q)))
      }
    }
    // Two parts share 32 bytes.
    for byte in 0..<self.block / 2 {
      let column = byte / 32 * 64 + byte % 32
      unsafe bytes.storeByte(levels[column] | levels[column + 32] << 4, at: 16 + byte)
    }
    return true
  }

  private static func sixBits(_ value: Float) -> UInt8 {
    UInt8(level: max(0, min(63, value.rounded(.toNearestOrEven))))
  }

  /// Adds to bytes that are zero there. The first four parts have 6 bits in a byte; of the others, 4 low
  /// bits of both share a byte, and the 2 high ones are the first bytes' high bits.
  private static func pack(
    _ scale: UInt8, _ minimum: UInt8, _ part: Int, _ bytes: UnsafeMutableRawPointer
  ) {
    func add(_ bits: UInt8, at index: Int) {
      unsafe bytes.storeByte(bytes.load(fromByteOffset: index, as: UInt8.self) | bits, at: index)
    }
    if part < 4 {
      add(scale, at: part)
      add(minimum, at: part + 4)
    } else {
      add(scale & 15 | minimum << 4, at: part + 4)
      add((scale >> 4) << 6, at: part - 4)
      add((minimum >> 4) << 6, at: part)
    }
  }
}

/// How a part's levels become numbers: scale * q - minimum, the minimum zero or more.
private struct PartRange {
  var scale: Float
  var minimum: Float

  init(scale: Float, minimum: Float) {
    self.scale = scale
    self.minimum = minimum
  }

  /// The best of a part's, and its levels.
  init(of part: UnsafeBufferPointer<Float>, levels: UnsafeMutableBufferPointer<UInt8>) {
    let bounds = unsafe part.bounds
    let lowest = min(bounds.lowest, 0)
    let range = bounds.highest - lowest
    // All numbers are the same, and not above zero: the minimum says it all. A range that is no number has
    // no scale.
    guard range > 0, range.isFinite else {
      unsafe levels.update(repeating: 0)
      self.init(scale: range.isFinite ? 0 : .infinity, minimum: -lowest)
      return
    }
    var squares: Float = 0
    for i in 0..<part.count { unsafe squares += part[i] * part[i] }
    var fit = Fit(
      rms: (squares / Float(part.count)).squareRoot(), lowest: lowest, inverse: 15 / range)
    self.init(scale: 1 / fit.inverse, minimum: -lowest)
    var (best, error) = unsafe (fit, fit.error(part, self))
    for step in 0...20 {
      // From the minimum of the best so far: a candidate that wins moves those after it.
      fit.lowest = -minimum
      fit.inverse = (-1 + 0.1 * Float(step) + 15) / (bounds.highest - fit.lowest)
      guard let candidate = unsafe fit.leastSquares(part) else { continue }
      let its = unsafe fit.error(part, candidate)
      if its < error { (self, best, error) = (candidate, fit, its) }
    }
    for i in 0..<part.count { unsafe levels[i] = UInt8(level: best.level(part[i])) }
  }

  /// The levels of a part from a candidate's scale, and what follows from them.
  private struct Fit {
    /// A column's weight is this and its magnitude.
    let rms: Float
    var lowest: Float
    var inverse: Float

    @inline(__always)
    func level(_ x: Float) -> Float {
      max(0, min(15, (inverse * (x - lowest)).rounded(.toNearestOrEven)))
    }

    /// The weighted sum of squared errors of the levels, decoded by `range`.
    func error(_ part: UnsafeBufferPointer<Float>, _ range: PartRange) -> Float {
      var sum: Float = 0
      for i in 0..<part.count {
        let x = unsafe part[i]
        let difference = range.scale * level(x) - range.minimum - x
        sum += (rms + x.magnitude) * (difference * difference)
      }
      return sum
    }

    /// The scale and minimum of least squares for the levels; nil where they don't tell both.
    func leastSquares(_ part: UnsafeBufferPointer<Float>) -> PartRange? {
      var (weights, x1): (Float, Float) = (0, 0)
      var (q1, q2, product): (Float, Float, Float) = (0, 0, 0)
      for i in 0..<part.count {
        let x = unsafe part[i]
        let (weight, q) = (rms + x.magnitude, level(x))
        weights += weight
        x1 += weight * x
        q1 += weight * q
        q2 += weight * q * q
        product += weight * q * x
      }
      let determinant = weights * q2 - q1 * q1
      guard determinant > 0 else { return nil }
      let lowest = (q2 * x1 - q1 * product) / determinant
      // A minimum above zero can't be stored: then it is zero.
      guard lowest > 0 else {
        return PartRange(scale: (weights * product - x1 * q1) / determinant, minimum: -lowest)
      }
      return PartRange(scale: product / q2, minimum: 0)
    }
  }
}
