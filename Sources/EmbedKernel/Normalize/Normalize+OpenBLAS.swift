// The fused layer of the OpenBLAS backend: gather and axpy, then the normalisation in place.
//
// BLAS has no row statistics whose order of summation is fixed, so that part is C's portable one:
// its second pass over the output is what this backend pays for not being fused.

internal import CBLASCalls

extension OpenBLASKernels {
  static func normalize(_ pass: NormalizePass, _ plan: Plan) {
    gather(pass, plan)
    if !pass.isPlainSum { NativeKernels.normalize(pass, gathered: true, plan) }
  }

  static func normalizeGradient(_ pass: NormalizeGradientPass, _ plan: Plan) {
    gather(pass.forward, plan)
    NativeKernels.normalizeGradient(pass, gathered: true, plan)
  }

  private static func gather(_ pass: NormalizePass, _ plan: Plan) {
    embed(pass.rows, plan)
    guard let segments = unsafe pass.segments else { return }
    let dim = pass.dim
    guard let n = Int32(exactly: dim) else {
      return Threads.split(pass.rows.tokenCount, plan.threads, AddSegments(pass: pass))
    }
    for token in 0..<pass.rows.tokenCount {
      unsafe ek_blas_saxpy(
        n, 1, segments + pass.segment(token) * dim, 1, pass.rows.output + token * dim, 1)
    }
  }
}
