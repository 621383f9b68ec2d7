// The fused layer of the OpenBLAS backend: gather and axpy, then the normalisation in place.
//
// BLAS has no row statistics whose order of summation is fixed, so that part is C's portable one:
// its second pass over the output is what this backend pays for not being fused.

internal import CBLASCalls

extension OpenBLASKernels {
  static func normalize(_ call: NormalizeCall, _ plan: Plan) {
    gather(call, plan)
    if !call.isPlainSum { unsafe call.run(from: UnsafePointer(call.rows.floats()), plan) }
  }

  static func normalizeGradient(_ call: NormalizeGradientCall, _ plan: Plan) {
    gather(call.forward, plan)
    unsafe call.run(from: UnsafePointer(call.forward.rows.floats()), plan)
  }

  private static func gather(_ call: NormalizeCall, _ plan: Plan) {
    embed(call.rows, plan)
    guard let segments = unsafe call.segments?.assumingMemoryBound(to: Float.self) else { return }
    guard let n = Int32(exactly: call.dim) else { return call.addSegments(threads: plan.threads) }
    for token in 0..<call.rows.tokenCount {
      unsafe ek_blas_saxpy(
        n, 1, segments + call.segment(token) * call.dim, 1, call.rows.floats(token), 1)
    }
  }
}
