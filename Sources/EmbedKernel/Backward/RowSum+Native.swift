// Sums of gathered rows of the native backend: the C microkernels of the best instruction set.

internal import CMicrokernels

extension NativeKernels {
  @inline(__always)
  static func sum(_ sum: borrowing ek_row_sum, _ plan: Plan) {
    unsafe withUnsafePointer(to: sum) {
      unsafe plan.kernels.pointee.sum_rows_f32.unsafelyUnwrapped($0)
    }
  }
}
