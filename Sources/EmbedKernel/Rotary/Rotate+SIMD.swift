// Rotation by the pure Swift backend: 16 pairs a step in the half layout, 8 in the interleaved one.
// Two-byte elements go to C's portable kernels.
//
// Bytes a row: D*4 read, D*4 written; the row of cosines and sines comes from cache.

extension SIMDKernels {
  /// for n in the nest: pairs (a, b) of row n become (a*c - b*s, b*c + a*s)
  @inline(__always)
  static func rotate(_ tile: RotaryTile, _ plan: Plan) {
    guard tile.type == .float32 else { return NativeKernels.rotate(tile, plan) }
    rotateFloats(tile)
    guard tile.rest > 0, !tile.isInPlace else { return }
    for o in 0..<tile.outer.count {
      for i in 0..<tile.inner.count {
        let at = (tile.element(o, i) &+ tile.restStart) &* 4
        unsafe (tile.output + at).copyMemory(from: tile.input + at, byteCount: tile.rest &* 4)
      }
    }
  }

  @inline(__always)
  private static func rotateFloats(_ tile: RotaryTile) {
    let sign: Float = tile.direction == .backward ? -1 : 1
    let input = unsafe tile.input.assumingMemoryBound(to: Float.self)
    let output = unsafe tile.output.assumingMemoryBound(to: Float.self)
    for o in 0..<tile.outer.count {
      for i in 0..<tile.inner.count {
        let (at, cosines) = unsafe (tile.element(o, i), tile.cosines(o, i))
        let row = unsafe Row(
          x: input + at, y: output + at, cosines: cosines, sines: cosines + tile.sines, sign: sign,
          pairs: tile.pairs)
        switch tile.layout {
        case .half: row.rotateHalves(tile.partner)
        case .interleaved: row.rotateNeighbours()
        }
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
