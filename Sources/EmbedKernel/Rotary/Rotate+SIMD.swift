// Rotation by the pure Swift backend: 16 pairs a step in the layout of halves, 8 in the interleaved one.
// 16-bit elements go to C's portable kernels.
//
// Bytes a row: D*4 read, D*4 written; the row of cosines and sines comes from cache.

internal import CKernels

extension SIMDKernels {
  /// for n in the nest: pairs (a, b) of row n become (a*c - b*s, b*c + a*s)
  static func rotate(_ tile: ek_rotary_tile, _ plan: Plan) {
    guard unsafe tile.type == EK_F32 else { return unsafe NativeKernels.rotate(tile, plan) }
    let sign: Float = unsafe tile.inverse ? -1 : 1
    let rest = unsafe tile.isInPlace ? 0 : tile.rest
    for o in unsafe 0..<tile.outer.count {
      for i in unsafe 0..<tile.inner.count {
        let at = unsafe tile.element(o, i) &* 4
        let (x, y, cosines) = unsafe (tile.input + at, tile.output + at, tile.cosines(o, i))
        let row = unsafe Row(
          x: x.assumingMemoryBound(to: Float.self), y: y.assumingMemoryBound(to: Float.self),
          cosines: cosines, sines: cosines + tile.sines, sign: sign, pairs: tile.pairs)
        if unsafe tile.neighbours {
          row.rotateNeighbours()
        } else {
          unsafe row.rotateHalves(tile.partner)
        }
        guard rest > 0 else { continue }
        unsafe (y + tile.rest_at &* 4).copyMemory(
          from: x + tile.rest_at &* 4, byteCount: rest &* 4)
      }
    }
  }
}

/// One row and its cosines and sines.
@safe private struct Row {
  let x: UnsafePointer<Float>
  let y: UnsafeMutablePointer<Float>
  let cosines: UnsafePointer<Float>
  let sines: UnsafePointer<Float>
  /// -1 for the inverse; a product with it is exact.
  let sign: Float
  let pairs: Int

  @inline(__always)
  func rotateHalves(_ partner: Int) {
    var i = 0
    while i &+ 16 <= pairs {
      let (a, b): (SIMD16<Float>, SIMD16<Float>) = unsafe (load(x, i), load(x, partner &+ i))
      let (c, s): (SIMD16<Float>, SIMD16<Float>) = unsafe (load(cosines, i), load(sines, i) * sign)
      store(a * c - b * s, i)
      store(b * c + a * s, partner &+ i)
      i &+= 16
    }
    while i < pairs {
      rotate(i, i, partner &+ i)
      i &+= 1
    }
  }

  @inline(__always)
  func rotateNeighbours() {
    var i = 0
    while i &+ 8 <= pairs {
      let both: SIMD16<Float> = unsafe load(x, 2 &* i)
      let (a, b) = (both.evenHalf, both.oddHalf)
      let (c, s): (SIMD8<Float>, SIMD8<Float>) = unsafe (load(cosines, i), load(sines, i) * sign)
      var turned = SIMD16<Float>()
      turned.evenHalf = a * c - b * s
      turned.oddHalf = b * c + a * s
      store(turned, 2 &* i)
      i &+= 8
    }
    while i < pairs {
      rotate(i, 2 &* i, 2 &* i &+ 1)
      i &+= 1
    }
  }

  /// Rotates pair `pair`, whose elements are `first` and `second`.
  @inline(__always)
  private func rotate(_ pair: Int, _ first: Int, _ second: Int) {
    let (a, b) = unsafe (x[first], x[second])
    let (c, s) = unsafe (cosines[pair], sines[pair] * sign)
    unsafe y[first] = a * c - b * s
    unsafe y[second] = b * c + a * s
  }

  // Rows start anywhere, so vectors are loaded and stored without alignment.
  @inline(__always)
  private func load<Vector: SIMD<Float> & BitwiseCopyable>(
    _ row: UnsafePointer<Float>, _ i: Int
  ) -> Vector {
    unsafe UnsafeRawPointer(row + i).loadUnaligned(as: Vector.self)
  }

  @inline(__always)
  private func store(_ value: SIMD16<Float>, _ i: Int) {
    unsafe UnsafeMutableRawPointer(y + i).storeBytes(of: value, as: SIMD16<Float>.self)
  }
}
