// The entrance of the fused layer: checked pointers in, a backend chosen and called.

extension Kernels {
  /// output[n, :] = dropout(norm(x[n, :])) for a checked pass.
  func normalize(_ pass: NormalizePass, _ tuning: Tuning) throws(EmbedError) {
    let plan = try Plan(self, pass.rows.shape, tuning)
    if pass.rows.outputBytes == 0 {
      return
    } else if pass.rows.isRegular {
      plan.backend.normalize(pass, plan)
    } else {
      pass.gatherRowByRow(threads: plan.threads)
      NativeKernels.normalize(pass, gathered: true, plan)
    }
  }

  /// The backward of a checked pass: d(x) of all rows, and the parameter sums of each chunk.
  func normalizeGradient(_ pass: NormalizeGradientPass, _ plan: Plan) {
    if pass.forward.rows.isRegular {
      plan.backend.normalizeGradient(pass, plan)
    } else {
      pass.forward.gatherRowByRow(threads: plan.threads)
      NativeKernels.normalizeGradient(pass, gathered: true, plan)
    }
  }
}

extension NormalizePass {
  /// Writes x to the output, with ids and positions outside their tables resolved.
  fileprivate func gatherRowByRow(threads: Int) {
    rows.embedRowByRow(threads: threads)
    Threads.split(rows.tokenCount, threads, AddSegments(pass: self))
  }
}
