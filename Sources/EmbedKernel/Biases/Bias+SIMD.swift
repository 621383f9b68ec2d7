// Biases by distance in pure Swift: 16 floats a step.

extension SIMDKernels: RowDistanceKernels {
  @inline(__always)
  static func addRow(
    _ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    let vectorised = count & ~15
    var i = 0
    while i < vectorised {
      let sum = unsafe vector(y, i) + vector(x, i)
      unsafe UnsafeMutableRawPointer(y + i).storeBytes(of: sum, as: SIMD16<Float>.self)
      i &+= 16
    }
    while i < count {
      unsafe y[i] += x[i]
      i &+= 1
    }
  }

  @inline(__always)
  private static func vector(_ row: UnsafePointer<Float>, _ i: Int) -> SIMD16<Float> {
    unsafe UnsafeRawPointer(row + i).loadUnaligned(as: SIMD16<Float>.self)
  }
}
