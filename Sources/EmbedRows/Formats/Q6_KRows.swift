// GGUF's Q6_K: blocks of 256 columns, 6 bits each, in sixteen parts of 16 with an int8 scale, and an fp16
// scale of the scales. Column c of part j is (d * scale[j]) * (q - 32).
//
// A part's scale is the one of nineteen candidates, and of the quotient of least squares for each, with the
// smallest sum of squared errors weighted by x^2, as ggml's reference quantiser chooses it.

internal import CKernels
internal import EmbedKernel

/// 4 low bits (256), 2 high bits (256), int8 scales (16), fp16 scale of scales.
enum Q6_KRows: BlockCoding {
  static var code: ek_row_format { EK_ROWS_Q6_K }
  static var block: Int { 256 }
  static var blockBytes: Int { 210 }

  private static let parts = 16
  private static let lowest: Float = -32
  /// Blocks and parts below this are zero.
  private static let nothing: Float = 1e-15

  static func encodeBlock(_ block: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer)
    -> Bool
  {
    unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: self.block) { levels in
      unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: parts) { scales in
        unsafe encode(block, levels, scales, bytes)
      }
    }
  }

  /// - Parameters:
  ///   - levels: For those of the block.
  ///   - scales: For those of its parts.
  private static func encode(
    _ block: UnsafeBufferPointer<Float>, _ levels: UnsafeMutableBufferPointer<UInt8>,
    _ scales: UnsafeMutableBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer
  ) -> Bool {
    for part in 0..<parts {
      unsafe scales[part] = fit(
        columns(block, part),
        UnsafeMutableBufferPointer(rebasing: levels[16 * part..<16 * part + 16]))
    }
    let largest = unsafe scales[UnsafeBufferPointer(scales).largest]
    guard largest.magnitude >= nothing else {
      unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0, count: blockBytes)
      return true
    }
    guard largest.isFinite else { return false }
    let inverse = -128 / largest
    let d = unsafe bytes.storeHalf(1 / inverse, at: 208)
    for part in 0..<parts {
      let rounded = unsafe min(127, (inverse * scales[part]).rounded(.toNearestOrEven))
      unsafe bytes.storeByte(UInt8(signedLevel: rounded), at: 192 + part)
      let scale = d * rounded
      // The levels of the best fit stay where they count for nothing.
      for i in 16 * part..<16 * part + 16 where scale != 0 {
        unsafe levels[i] = level(block[i] / scale)
      }
    }
    unsafe pack(levels, bytes)
    return d.isFinite
  }

  private static func columns(_ block: UnsafeBufferPointer<Float>, _ part: Int)
    -> UnsafeBufferPointer<Float>
  {
    unsafe UnsafeBufferPointer(rebasing: block[16 * part..<16 * part + 16])
  }

  @inline(__always)
  private static func level(_ value: Float) -> UInt8 {
    UInt8(level: max(lowest, min(31, value.rounded(.toNearestOrEven))) - lowest)
  }

  /// The best scale of 16 numbers, and their levels: of the levels that a candidate gives, the quotient of
  /// least squares.
  private static func fit(
    _ part: UnsafeBufferPointer<Float>, _ levels: UnsafeMutableBufferPointer<UInt8>
  ) -> Float {
    let largest = unsafe part[part.largest]
    guard largest.magnitude >= nothing else {
      unsafe levels.update(repeating: 0)
      return 0
    }
    // The plain candidate first, which the others have to beat.
    var inverse = lowest / largest
    let plain = unsafe products(part, inverse)
    var best = plain.square > 0 ? plain.product / plain.square : 0
    var gain = best * plain.product
    for step in -9...9 where step != 0 {
      let candidate = (lowest - 0.1 * Float(step)) / largest
      let (product, square) = unsafe products(part, candidate)
      guard square > 0, product * product > gain * square else { continue }
      (inverse, best) = (candidate, product / square)
      gain = best * product
    }
    // Numbers whose squares are past the largest float: no scale is known.
    guard best.isFinite, gain.isFinite else { return .infinity }
    for i in 0..<part.count { unsafe levels[i] = level(inverse * part[i]) }
    return best
  }

  /// For levels q = round(inverse * x), sum(w x q) and sum(w q^2) with weights x^2: the squared error falls
  /// by the square of the first over the second.
  private static func products(_ part: UnsafeBufferPointer<Float>, _ inverse: Float)
    -> (product: Float, square: Float)
  {
    var sums: (product: Float, square: Float) = (0, 0)
    for i in 0..<part.count {
      let x = unsafe part[i]
      let q = max(lowest, min(31, (inverse * x).rounded(.toNearestOrEven)))
      let weight = x * x
      sums.product += weight * x * q
      sums.square += weight * q * q
    }
    return sums
  }

  /// By halves of 128 columns in four runs of 32: the low bits of a run stand in 32 bytes beside those of
  /// the run two on, the high bits of all four in 32 bytes.
  private static func pack(
    _ levels: UnsafeMutableBufferPointer<UInt8>, _ bytes: UnsafeMutableRawPointer
  ) {
    for half in 0..<2 {
      for column in 0..<32 {
        let run = unsafe levels.baseAddress.unsafelyUnwrapped + 128 * half + column
        let (a, b, c, d) = unsafe (run[0], run[32], run[64], run[96])
        unsafe bytes.storeByte(a & 15 | c << 4, at: 64 * half + column)
        unsafe bytes.storeByte(b & 15 | d << 4, at: 64 * half + 32 + column)
        let high = a >> 4 | (b >> 4) << 2 | (c >> 4) << 4 | (d >> 4) << 6
        unsafe bytes.storeByte(high, at: 128 + 32 * half + column)
      }
    }
  }
}
