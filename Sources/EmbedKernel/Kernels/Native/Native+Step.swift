// Optimiser steps of the native backend: the C microkernels of the best instruction set.

internal import CMicrokernels

extension NativeKernels {
  static func step(_ tile: ek_step_tile, _ arithmetic: any StepArithmetic.Type, _ plan: Plan) {
    guard let kernel = arithmetic.kernel, let steps = unsafe plan.kernels.pointee.steps else {
      return unsafe arithmetic.run(tile)
    }
    unsafe withUnsafePointer(to: tile) { unsafe ek_run_step(steps, kernel, $0) }
  }
}
