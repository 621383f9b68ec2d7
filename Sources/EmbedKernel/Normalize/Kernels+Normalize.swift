// The entrance of the fused layer: checked calls in, a backend chosen and called.

extension Kernels {
  /// output[n, :] = dropout(norm(x[n, :])) for a checked call.
  func normalize(_ call: NormalizeCall) throws(EmbedError) {
    let plan = try Plan(self, call.rows.shape)
    if call.rows.outputBytes == 0 {
      return
    } else if call.rows.isRegular {
      plan.backend.kernels.normalize(call, plan)
    } else {
      call.gatherRowByRow(threads: plan.threads)
      call.run(gathered: true, plan)
    }
  }
}

extension NormalizeGradientCall {
  /// d(x) of all rows, and the parameter sums of each chunk.
  func run(_ plan: Plan) {
    if forward.rows.isRegular {
      plan.backend.kernels.normalizeGradient(self, plan)
    } else {
      forward.gatherRowByRow(threads: plan.threads)
      run(gathered: true, plan)
    }
  }
}

extension NormalizeCall {
  /// Writes x to the output, with ids and positions outside their tables resolved.
  fileprivate func gatherRowByRow(threads: Int) {
    rows.embedRowByRow(threads: threads)
    addSegments(threads: threads)
  }

  /// Adds segment rows to rows that are already in the output.
  func addSegments(threads: Int) {
    guard let segments = unsafe segments else { return }
    Threads.split(rows.tokenCount, threads) { range in
      for token in range {
        let row = unsafe segments + segment(token) &* dim
        let output = unsafe rows.floats(token)
        for i in 0..<dim { unsafe output[i] += row[i] }
      }
    }
  }
}
