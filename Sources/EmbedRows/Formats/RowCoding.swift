// What a format says of itself, and what formats share.

internal import CKernels
internal import EmbedKernel

/// A format: a row's sizes, and how it is quantised.
protocol RowCoding {
  /// The format's name to the kernels.
  static var code: ek_row_format { get }

  /// A row's length is a multiple of this.
  static var block: Int { get }

  /// The bytes of a row whose length is checked.
  static func rowBytes(_ dim: Int) -> Int

  /// The bytes of its scales, where they stand beside the rows.
  static func scaleBytes(_ dim: Int) -> Int

  /// The numbers that a row can hold, for messages.
  static var domain: String { get }

  /// Writes a row by the inventor's rule, in `rowBytes` and `scaleBytes` bytes.
  ///
  /// - Returns: The column of a number that the format can't hold, after which the bytes have no meaning;
  ///   nil where all is well.
  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int?
}

extension RowCoding {
  static var block: Int { 1 }
  static func scaleBytes(_ dim: Int) -> Int { 0 }
  static var domain: String { "a finite number" }
}

/// A format of equal blocks that are quantised each on its own.
protocol BlockCoding: RowCoding {
  /// The bytes of a block.
  static var blockBytes: Int { get }

  /// Writes a block of finite numbers.
  ///
  /// - Returns: Whether the format can hold it.
  static func encodeBlock(_ block: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer)
    -> Bool
}

extension BlockCoding {
  static func rowBytes(_ dim: Int) -> Int { dim / block * blockBytes }

  /// Scales are of half precision.
  static var domain: String { "a finite number whose block's scale is below 65,520" }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    if let column = unsafe row.firstNotFinite { return column }
    for first in stride(from: 0, to: row.count, by: block) {
      let part = unsafe UnsafeBufferPointer(rebasing: row[first..<first + block])
      guard unsafe encodeBlock(part, bytes + first / block * blockBytes) else {
        return unsafe first + part.largest
      }
    }
    return nil
  }
}

extension UnsafeBufferPointer<Float> {
  /// The first column that is infinite or not a number.
  var firstNotFinite: Int? { unsafe firstIndex { !$0.isFinite } }

  /// The column of the largest magnitude, the first of such.
  var largest: Int {
    var (found, most) = (0, -Float.infinity)
    for i in 0..<count where unsafe self[i].magnitude > most {
      unsafe (found, most) = (i, self[i].magnitude)
    }
    return found
  }

  /// The smallest number and the largest.
  var bounds: (lowest: Float, highest: Float) {
    var bounds = (lowest: Float.infinity, highest: -Float.infinity)
    for i in 0..<count {
      let value = unsafe self[i]
      if value < bounds.lowest { bounds.lowest = value }
      if value > bounds.highest { bounds.highest = value }
    }
    return bounds
  }
}

extension UnsafeMutableRawPointer {
  /// Writes the number nearest to `scale` in half precision.
  ///
  /// - Returns: It as a float.
  func storeHalf(_ scale: Float, at offset: Int = 0) -> Float {
    let half = Half(scale)
    unsafe storeBytes(of: half.bitPattern, toByteOffset: offset, as: UInt16.self)
    return half.float
  }

  /// Writes a byte.
  @inline(__always)
  func storeByte(_ byte: UInt8, at offset: Int) {
    unsafe storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
  }
}

extension UInt8 {
  /// A level that has been cut to the format's: what stands after the point is dropped.
  @inline(__always)
  init(level: Float) { self.init(clamping: Int(saturating: Double(level))) }

  /// The bits of a signed level.
  @inline(__always)
  init(signedLevel level: Float) {
    self.init(bitPattern: Int8(clamping: Int(saturating: Double(level))))
  }
}
