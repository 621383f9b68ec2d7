// GGUF's blocks of 32 columns with an fp16 scale each, quantised by the scale before it is rounded:
// column c is q[c] * scale.
//
// Q8_0: scale = max|x| / 127, q = round(x / scale), ties away from zero: |decoded - x| <= scale / 2, and
// 127 times what rounding took of the scale. Q4_0: scale = m / -8, m the number of the largest magnitude,
// q = round(x / scale) + 8, cut off at 15: a number opposite to m may lose a whole scale.

internal import CKernels
internal import EmbedKernel

/// fp16 scale, int8 (32).
enum Q8_0Rows: BlockCoding {
  static var code: ek_row_format { EK_ROWS_Q8_0 }
  static var block: Int { 32 }
  static var blockBytes: Int { 34 }

  static func encodeBlock(_ block: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer)
    -> Bool
  {
    let scale = unsafe block[block.largest].magnitude / 127
    let inverse = inverse(of: scale)
    for i in 0..<block.count {
      let q = unsafe (block[i] * inverse).rounded(.toNearestOrAwayFromZero)
      unsafe bytes.storeByte(UInt8(signedLevel: q), at: 2 + i)
    }
    return unsafe bytes.storeHalf(scale).isFinite
  }
}

/// fp16 scale, 16 bytes: the first 16 columns in the low bits, the others in the high bits.
enum Q4_0Rows: BlockCoding {
  static var code: ek_row_format { EK_ROWS_Q4_0 }
  static var block: Int { 32 }
  static var blockBytes: Int { 18 }

  static func encodeBlock(_ block: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer)
    -> Bool
  {
    let scale = unsafe block[block.largest] / -8
    let inverse = inverse(of: scale)
    for i in 0..<block.count / 2 {
      let low = unsafe level(block[i] * inverse), high = unsafe level(block[i + 16] * inverse)
      unsafe bytes.storeByte(low | high << 4, at: 2 + i)
    }
    return unsafe bytes.storeHalf(scale).isFinite
  }

  @inline(__always)
  private static func level(_ value: Float) -> UInt8 { UInt8(level: min(15, value + 8.5)) }
}

/// 1 / scale, or 0 where that is no number: such a scale is zero in half precision.
private func inverse(of scale: Float) -> Float {
  let inverse = 1 / scale
  return inverse.isFinite ? inverse : 0
}
