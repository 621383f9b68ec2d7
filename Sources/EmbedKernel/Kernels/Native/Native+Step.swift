// Optimiser steps of the native backend: the C microkernels of the best instruction set.

internal import CMicrokernels

extension NativeKernels {
  static func step(
    _ tile: ek_step_tile, _ arithmetic: any StepArithmetic.Type,
    _ kernels: UnsafePointer<ek_kernels>
  ) {
    guard let kernel = arithmetic.kernel, let steps = unsafe kernels.pointee.steps else {
      return unsafe arithmetic.run(tile)
    }
    unsafe withUnsafePointer(to: tile) { unsafe ek_run_step(steps, kernel, $0) }
  }

  static func sumRows(_ work: ek_row_sum, _ kernels: UnsafePointer<ek_kernels>) {
    guard let steps = unsafe kernels.pointee.steps else {
      return unsafe SIMDKernels.sumRows(work)
    }
    unsafe withUnsafePointer(to: work) { unsafe steps.pointee.sum_rows_f32.unsafelyUnwrapped($0) }
  }
}
