// The one operation that backward is made of: a sum of gathered rows, written once, with each row
// optionally passed on alone to where a row that occurs once belongs. Its record is C's, `ek_row_sum`.

internal import CKernels

extension ek_row_sum {
  /// output[:] = sum of rows[indices[i], :] for i in 0..<count, left to right; what else is wanted is
  /// set afterwards.
  @inline(__always)
  init(
    _ rows: UnsafePointer<Float>, _ indices: UnsafePointer<Int32>?, count: Int, stride: Int,
    width: Int, to output: UnsafeMutablePointer<Float>
  ) {
    self.init()
    unsafe self.rows = rows
    unsafe self.indices = indices
    self.count = count
    self.stride = stride
    self.width = width
    unsafe self.output = output
    leaf = Self.leftToRight
    factor = 1
    pass_factor = 1
  }

  /// The `leaf` of a sum that is not a tree.
  static var leftToRight: Int { .max }

  /// Where row `i` of the sum is.
  @inline(__always)
  func index(_ i: Int) -> Int { unsafe indices.map { unsafe Int($0[i]) } ?? i }

  /// Row `i` of the sum.
  @inline(__always)
  func row(_ i: Int) -> UnsafePointer<Float> { unsafe rows.unsafelyUnwrapped + index(i) &* stride }
}

extension NativeKernels {
  @inline(__always)
  static func sum(_ sum: inout ek_row_sum, _ plan: Plan) {
    unsafe plan.kernels.pointee.sum_rows(&sum)
  }
}
