// Rotation by the OpenBLAS backend: `cblas_srot`, a plane rotation of two strided vectors by one
// angle. All heads of a token share a pair's angle, so a call rotates one pair of one token in all
// heads: short vectors at long strides, a call for every H*8 bytes. BLAS computes with floats alone:
// two-byte elements go to C's portable kernels.
//
// `srot` fuses its multiplications and additions where the CPU can, so results may differ from the
// other backends' by a rounding.

internal import CBLASCalls

extension OpenBLASKernels {
  /// for n in the nest: pairs (a, b) of row n become (a*c - b*s, b*c + a*s)
  static func rotate(_ tile: RotaryTile, _ plan: Plan) {
    guard tile.type == .float32 else { return NativeKernels.rotate(tile, plan) }
    if !tile.isInPlace { copy(tile) }
    let output = unsafe tile.output.assumingMemoryBound(to: Float.self)
    // Rows of the inner loop share their cosines: they are the vector.
    for token in 0..<tile.outer.count {
      unsafe rotate(
        output + token * tile.outer.elements, 0..<tile.pairs, tile.layout, tile.partner,
        tile.inner, cosines: tile.cosines(token, 0), tile)
    }
  }

  /// Rotates the pairs `range` of some rows by one row of cosines and sines.
  private static func rotate(
    _ y: UnsafeMutablePointer<Float>, _ range: Range<Int>, _ layout: RotaryLayout,
    _ partner: Int, _ vector: RotaryTile.Loop, cosines: UnsafePointer<Float>, _ tile: RotaryTile
  ) {
    // BLAS turns the other way.
    let sign: Float = tile.direction == .backward ? 1 : -1
    for pair in range {
      let at = pair - range.lowerBound
      let (first, second) = layout == .half ? (at, at + partner) : (2 * at, 2 * at + 1)
      unsafe rotate(
        y + first, y + second, vector, cosine: cosines[pair],
        sine: sign * cosines[tile.sines + pair])
    }
  }

  /// BLAS counts in 32 bits: heads are few, but a stride may be longer.
  private static func rotate(
    _ a: UnsafeMutablePointer<Float>, _ b: UnsafeMutablePointer<Float>,
    _ vector: RotaryTile.Loop, cosine: Float, sine: Float
  ) {
    if let count = Int32(exactly: vector.count), let stride = Int32(exactly: vector.elements) {
      unsafe ek_blas_srot(count, a, stride, b, stride, cosine, sine)
    } else {
      for i in 0..<vector.count {
        unsafe ek_blas_srot(1, a + i * vector.elements, 1, b + i * vector.elements, 1, cosine, sine)
      }
    }
  }

  private static func copy(_ tile: RotaryTile) {
    forEachRow(tile) { at in
      // The half layout's second elements are apart, the interleaved one's follow.
      copy(tile, at, tile.pairs)
      copy(tile, at + (tile.layout == .half ? tile.partner : tile.pairs), tile.pairs)
      copy(tile, at + tile.restStart, tile.rest)
    }
  }

  private static func copy(_ tile: RotaryTile, _ element: Int, _ count: Int) {
    let size = tile.type.byteCount
    unsafe (tile.output + element * size)
      .copyMemory(from: tile.input + element * size, byteCount: count * size)
  }

  @inline(__always)
  private static func forEachRow(_ tile: RotaryTile, _ body: (Int) -> Void) {
    for o in 0..<tile.outer.count {
      for i in 0..<tile.inner.count { body(tile.element(o, i)) }
    }
  }
}
