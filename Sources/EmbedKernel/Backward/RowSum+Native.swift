// Sums of gathered rows of the native backend: the C kernels of the best instruction set.

internal import CKernels

extension NativeKernels {
  @inline(__always)
  static func sum(_ sum: borrowing ek_row_sum, _ plan: Plan) {
    unsafe withUnsafePointer(to: sum) {
      unsafe plan.kernels.pointee.sum_rows($0)
    }
  }
}
