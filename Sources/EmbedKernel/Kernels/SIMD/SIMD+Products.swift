// Small matrix products in pure Swift. A tile of sums stays in registers: 4 entries at a time where
// vectors are multiplied, 16 columns where rows are mixed.

extension SIMDKernels: ProductKernels {
  static func products(_ tile: ProductTile, _ plan: Plan) {
    let vectorised = tile.dim & ~7
    for row in 0..<tile.rows {
      let x = unsafe tile.x + row &* tile.xStride
      let out = unsafe tile.products + row &* tile.stride
      var entry = 0
      while entry &+ 4 <= tile.entries {
        let a = unsafe tile.table + entry &* tile.tableStride
        let (b, c, d) = unsafe (
          a + tile.tableStride, a + 2 &* tile.tableStride, a + 3 &* tile.tableStride
        )
        var (sa, sb, sc, sd) = (V.zero, V.zero, V.zero, V.zero)
        var i = 0
        while i < vectorised {
          let v = unsafe load(x + i)
          unsafe sa += v * load(a + i)
          unsafe sb += v * load(b + i)
          unsafe sc += v * load(c + i)
          unsafe sd += v * load(d + i)
          i &+= 8
        }
        var (ta, tb, tc, td) = (sa.sum(), sb.sum(), sc.sum(), sd.sum())
        while i < tile.dim {
          let v = unsafe x[i]
          unsafe (ta, tb, tc, td) = (
            ta + v * a[i], tb + v * b[i], tc + v * c[i], td + v * d[i]
          )
          i &+= 1
        }
        unsafe out[entry] = ta * tile.scale
        unsafe out[entry &+ 1] = tb * tile.scale
        unsafe out[entry &+ 2] = tc * tile.scale
        unsafe out[entry &+ 3] = td * tile.scale
        entry &+= 4
      }
      while entry < tile.entries {
        let a = unsafe tile.table + entry &* tile.tableStride
        var sum: Float = 0
        for i in 0..<tile.dim { unsafe sum += x[i] * a[i] }
        unsafe out[entry] = sum * tile.scale
        entry &+= 1
      }
    }
  }

  static func combine(_ tile: ProductTile, _ plan: Plan) {
    for row in 0..<tile.rows {
      unsafe mix(
        tile.products + row &* tile.stride, 1, tile.entries, tile.table, tile.tableStride,
        into: tile.x + row &* tile.xStride, tile.dim, tile.scale)
    }
  }

  static func outer(_ tile: ProductTile, _ plan: Plan) {
    for entry in 0..<tile.entries {
      unsafe mix(
        tile.products + entry, tile.stride, tile.rows, tile.x, tile.xStride,
        into: tile.table + entry &* tile.tableStride, tile.dim, tile.scale)
    }
  }

  /// y[:] += scale · sum over n of weights[n] · rows[n, :]
  @inline(__always)
  private static func mix(
    _ weights: UnsafePointer<Float>, _ weightStride: Int, _ count: Int,
    _ rows: UnsafePointer<Float>, _ stride: Int, into y: UnsafeMutablePointer<Float>, _ dim: Int,
    _ scale: Float
  ) {
    var i = 0
    while i &+ 16 <= dim {
      var (low, high) = (V.zero, V.zero)
      for n in 0..<count {
        let (w, row) = unsafe (weights[n &* weightStride], rows + (n &* stride &+ i))
        unsafe low += w * load(row)
        unsafe high += w * load(row + 8)
      }
      unsafe store(load(y + i) + low * scale, y + i)
      unsafe store(load(y + i + 8) + high * scale, y + i + 8)
      i &+= 16
    }
    while i < dim {
      var sum: Float = 0
      for n in 0..<count { unsafe sum += weights[n &* weightStride] * rows[n &* stride &+ i] }
      unsafe y[i] += sum * scale
      i &+= 1
    }
  }

  private typealias V = SIMD8<Float>

  @inline(__always)
  private static func load(_ p: UnsafePointer<Float>) -> V {
    unsafe UnsafeRawPointer(p).loadUnaligned(as: V.self)
  }

  @inline(__always)
  private static func store(_ value: V, _ p: UnsafeMutablePointer<Float>) {
    unsafe UnsafeMutableRawPointer(p).storeBytes(of: value, as: V.self)
  }
}
