// Biases by distance on OpenBLAS: a `cblas_saxpy` of the shifted table row for each row of logits.

internal import CBLASCalls

extension OpenBLASKernels: RowDistanceKernels {
  static func addRow(_ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, _ count: Int) {
    unsafe ek_blas_saxpy(Int32(count), 1, x, 1, y, 1)
  }
}
