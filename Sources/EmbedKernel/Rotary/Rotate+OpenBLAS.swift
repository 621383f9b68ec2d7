// Rotation by the OpenBLAS backend: `cblas_srot`, a plane rotation of two strided vectors by one
// angle. All heads of a token share a pair's angle, so a call rotates one pair of one token in all
// heads: short vectors at long strides, a call for every H*8 bytes. BLAS computes with floats alone:
// 16-bit elements go to C's portable kernels.
//
// `srot` fuses its multiplications and additions where the CPU can, so results may differ from the
// other backends' by a rounding.

internal import CBLASCalls
internal import CKernels

extension OpenBLASKernels {
  /// for n in the nest: pairs (a, b) of row n become (a*c - b*s, b*c + a*s)
  static func rotate(_ tile: ek_rotary_tile, _ plan: Plan) {
    guard unsafe tile.type == EK_F32 else { return unsafe NativeKernels.rotate(tile, plan) }
    if unsafe !tile.isInPlace { unsafe copy(tile) }
    // BLAS turns the other way.
    let sign: Float = unsafe tile.inverse ? 1 : -1
    let (step, partner) = unsafe tile.neighbours ? (2, 1) : (1, tile.partner)
    for token in unsafe 0..<tile.outer.count {
      let output = unsafe tile.output.assumingMemoryBound(to: Float.self) + tile.element(token, 0)
      let cosines = unsafe tile.cosines(token, 0)
      for pair in unsafe 0..<tile.pairs {
        let first = unsafe output + step * pair
        // Rows of the inner loop share their cosines: they are the vector.
        unsafe rotate(
          first, first + partner, tile.inner, cosine: cosines[pair],
          sine: sign * cosines[tile.sines + pair])
      }
    }
  }

  /// BLAS counts in 32 bits: heads are few, but a stride may be longer.
  private static func rotate(
    _ a: UnsafeMutablePointer<Float>, _ b: UnsafeMutablePointer<Float>,
    _ vector: ek_rotary_loop, cosine: Float, sine: Float
  ) {
    if let count = Int32(exactly: vector.count), let stride = Int32(exactly: vector.elements) {
      unsafe ek_blas_srot(count, a, stride, b, stride, cosine, sine)
    } else {
      for i in 0..<vector.count {
        unsafe ek_blas_srot(1, a + i * vector.elements, 1, b + i * vector.elements, 1, cosine, sine)
      }
    }
  }

  private static func copy(_ tile: ek_rotary_tile) {
    for o in unsafe 0..<tile.outer.count {
      for i in unsafe 0..<tile.inner.count {
        let at = unsafe tile.element(o, i)
        // The second elements of halves are apart, those of neighbours follow.
        unsafe copy(tile, at, tile.pairs)
        unsafe copy(tile, at + (tile.neighbours ? tile.pairs : tile.partner), tile.pairs)
        unsafe copy(tile, at + tile.rest_at, tile.rest)
      }
    }
  }

  private static func copy(_ tile: ek_rotary_tile, _ element: Int, _ count: Int) {
    unsafe (tile.output + element * 4).copyMemory(
      from: tile.input + element * 4, byteCount: count * 4)
  }
}
