// Rotation of two-byte elements by the pure Swift backend. A stretch of a row is widened to the
// stack, rotated and rounded: two loops, neither of which reads what it writes, so that the compiler
// makes vectors of both, in place too.
//
// Bytes a row: D*2 read, D*2 written; the row of cosines and sines comes from cache.

/// The rows of a tile.
@safe struct HalfRotation<Element: HalfPrecision> {
  let tile: RotaryTile

  func run() {
    // The first elements of a stretch's pairs, then the second ones.
    var scratch = InlineArray<128, Float>(repeating: 0)
    var span = scratch.mutableSpan
    unsafe span.withUnsafeMutableBufferPointer { buffer in
      let a = unsafe buffer.baseAddress.unsafelyUnwrapped
      for o in 0..<tile.outer.count {
        for i in 0..<tile.inner.count {
          let (at, cosines) = unsafe (tile.element(o, i) &* 2, tile.cosines(o, i))
          var first = 0
          while first < tile.pairs {
            let count = min(stretch, tile.pairs &- first)
            let x = unsafe tile.input + at
            let y = unsafe tile.output + at
            switch tile.layout {
            case .half:
              unsafe rotateHalves(x + 2 &* first, y + 2 &* first, cosines + first, count, a)
            case .interleaved:
              unsafe rotateNeighbours(x + 4 &* first, y + 4 &* first, cosines + first, count, a)
            }
            first &+= count
          }
        }
      }
    }
  }

  private var sign: Float { tile.direction == .backward ? -1 : 1 }

  @inline(__always)
  private func rotateHalves(
    _ x: UnsafeRawPointer, _ y: UnsafeMutableRawPointer, _ cosines: UnsafePointer<Float>,
    _ count: Int, _ a: UnsafeMutablePointer<Float>
  ) {
    let (b, sines, sign) = unsafe (a + stretch, cosines + tile.sines, sign)
    let (x2, y2) = unsafe (x + 2 &* tile.partner, y + 2 &* tile.partner)
    for i in 0..<count {
      unsafe a[i] = Self.float(x.loadUnaligned(fromByteOffset: 2 &* i, as: UInt16.self))
      unsafe b[i] = Self.float(x2.loadUnaligned(fromByteOffset: 2 &* i, as: UInt16.self))
    }
    for i in 0..<count {
      let (c, s) = unsafe (cosines[i], sines[i] * sign)
      let first = unsafe Element(a[i] * c - b[i] * s)
      let second = unsafe Element(b[i] * c + a[i] * s)
      unsafe y.storeBytes(of: first.bitPattern, toByteOffset: 2 &* i, as: UInt16.self)
      unsafe y2.storeBytes(of: second.bitPattern, toByteOffset: 2 &* i, as: UInt16.self)
    }
  }

  /// A pair is 32 bits, its first element the lower half.
  @inline(__always)
  private func rotateNeighbours(
    _ x: UnsafeRawPointer, _ y: UnsafeMutableRawPointer, _ cosines: UnsafePointer<Float>,
    _ count: Int, _ a: UnsafeMutablePointer<Float>
  ) {
    let (b, sines, sign) = unsafe (a + stretch, cosines + tile.sines, sign)
    for i in 0..<count {
      let pair = unsafe UInt32(
        littleEndian: x.loadUnaligned(fromByteOffset: 4 &* i, as: UInt32.self))
      unsafe a[i] = Self.float(UInt16(truncatingIfNeeded: pair))
      unsafe b[i] = Self.float(UInt16(truncatingIfNeeded: pair >> 16))
    }
    for i in 0..<count {
      let (c, s) = unsafe (cosines[i], sines[i] * sign)
      let first = unsafe Element(a[i] * c - b[i] * s)
      let second = unsafe Element(b[i] * c + a[i] * s)
      let pair = UInt32(first.bitPattern) | UInt32(second.bitPattern) << 16
      unsafe y.storeBytes(of: pair.littleEndian, toByteOffset: 4 &* i, as: UInt32.self)
    }
  }

  @inline(__always)
  private static func float(_ bits: UInt16) -> Float { Element(bitPattern: bits).float }
}

/// Pairs of a stretch.
private let stretch = 64
