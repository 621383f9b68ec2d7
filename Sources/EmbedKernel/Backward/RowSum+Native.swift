// Sums of gathered rows of the native backend: the C microkernels of the best instruction set.

internal import CMicrokernels

extension NativeKernels: RowSumKernels {
  @inline(__always)
  static func sum(_ sum: RowSum, _ plan: Plan) {
    let leaf =
      switch sum.order {
      case .leftToRight, .compensated: sum.count
      case .tree(let leaf): leaf
      }
    let compensated = if case .compensated = sum.order { true } else { false }
    var c = unsafe ek_row_sum(
      rows: sum.rows, corrections: sum.corrections, indices: sum.indices, ahead: sum.ahead,
      destinations: sum.destinations, ahead_output: sum.aheadOutput, passed: sum.passed,
      output: sum.output,
      correction_output: sum.correctionOutput, count: sum.count, ahead_count: sum.aheadCount,
      stride: sum.stride, width: sum.width, leaf: leaf, factor: sum.factor,
      pass_factor: sum.passFactor, compensated: compensated, accumulate: sum.accumulates,
      streaming: sum.streaming, pass_accumulate: sum.passAccumulates,
      pass_streaming: sum.passStreaming)
    unsafe plan.kernels.pointee.sum_rows_f32.unsafelyUnwrapped(&c)
  }

  static func finish(_ plan: Plan) {
    if plan.traffic.streaming { ek_store_fence() }
  }
}
