// Rotation by the OpenBLAS backend: `cblas_srot`, a plane rotation of two strided vectors by one
// angle. All heads of a token share a pair's angle, so a call rotates one pair of one token in all
// heads: short vectors at long strides, a call for every H*8 bytes.
//
// `srot` fuses its multiplications and additions where the CPU can, so results may differ from the
// other backends' by a rounding.

internal import COpenBLAS

extension OpenBLASKernels {
  /// for n in the nest: pairs (a, b) of row n become (a*c - b*s, b*c + a*s)
  static func rotate(_ tile: RotaryTile, _ plan: Plan) {
    if !tile.isInPlace { copy(tile) }
    // Rows of the inner loop share their cosines: they are the vector.
    let (tokens, vector) = (tile.outer, tile.inner)
    let sign: Float = tile.direction == .backward ? 1 : -1
    for token in 0..<tokens.count {
      let y = unsafe tile.output + token * tokens.elements
      let row = unsafe tile.rows + token * tokens.rows
      for pair in 0..<tile.pairs {
        let (first, second) =
          tile.layout == .half ? (pair, pair + tile.partner) : (2 * pair, 2 * pair + 1)
        // BLAS turns the other way.
        unsafe rotate(
          y + first, y + second, vector, cosine: row[pair], sine: sign * row[tile.sines + pair])
      }
    }
  }

  /// BLAS counts in 32 bits: heads are few, but a stride may be longer.
  private static func rotate(
    _ a: UnsafeMutablePointer<Float>, _ b: UnsafeMutablePointer<Float>,
    _ vector: RotaryTile.Loop, cosine: Float, sine: Float
  ) {
    if let count = blasint(exactly: vector.count), let stride = blasint(exactly: vector.elements) {
      unsafe cblas_srot(count, a, stride, b, stride, cosine, sine)
    } else {
      for i in 0..<vector.count {
        unsafe cblas_srot(1, a + i * vector.elements, 1, b + i * vector.elements, 1, cosine, sine)
      }
    }
  }

  private static func copy(_ tile: RotaryTile) {
    for o in 0..<tile.outer.count {
      for i in 0..<tile.inner.count {
        let at = o * tile.outer.elements + i * tile.inner.elements
        // The half layout's second elements are apart, the interleaved one's follow.
        let second = at + (tile.layout == .half ? tile.partner : tile.pairs)
        unsafe (tile.output + at).update(from: tile.input + at, count: tile.pairs)
        unsafe (tile.output + second).update(from: tile.input + second, count: tile.pairs)
        unsafe (tile.output + at + tile.restStart)
          .update(from: tile.input + at + tile.restStart, count: tile.rest)
      }
    }
  }
}
