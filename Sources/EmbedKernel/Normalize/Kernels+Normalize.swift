// The entrance of the fused layer: checked calls in, a backend chosen and called.

extension Kernels {
  /// output[n, :] = dropout(norm(x[n, :])) for a checked call.
  func normalize(_ call: NormalizeCall) throws(EmbedError) {
    let plan = try Plan(self, call.rows.shape)
    if call.rows.outputBytes == 0 {
      return
    } else if !call.rows.isRegular {
      try call.runRowByRow(plan)
    } else if call.rows.isFloat {
      plan.backend.kernels.normalize(call, plan)
    } else {
      NativeKernels.normalize(call, plan)
    }
  }
}

extension NormalizeGradientCall {
  /// d(x) of all rows, and the parameter sums of each chunk.
  func run(_ plan: Plan) {
    if !forward.rows.isRegular {
      forward.gatherRowByRow(threads: plan.threads)
      unsafe run(from: UnsafePointer(forward.rows.floats()), plan)
    } else if forward.rows.isFloat {
      plan.backend.kernels.normalizeGradient(self, plan)
    } else {
      NativeKernels.normalizeGradient(self, plan)
    }
  }
}

extension NormalizeCall {
  /// Gathers x, and goes on from there: in the output, where that is of floats.
  fileprivate func runRowByRow(_ plan: Plan) throws(EmbedError) {
    if rows.written == .float32 {
      gatherRowByRow(threads: plan.threads)
      return unsafe run(from: UnsafePointer(rows.floats()), plan)
    }
    let sums = try AlignedBuffer<Float>(count: elementCount("sums", rows.tokenCount, dim))
    var gather = self
    gather.rows.write(floats: sums)
    gather.gatherRowByRow(threads: plan.threads)
    unsafe run(from: UnsafePointer(sums.base), plan)
  }

  /// Writes x to an output of floats, with ids and positions outside their tables resolved.
  fileprivate func gatherRowByRow(threads: Int) {
    rows.embedRowByRow(threads: threads)
    addSegments(threads: threads)
  }

  /// Adds segment rows to rows that are already in an output of floats.
  func addSegments(threads: Int) {
    guard unsafe segments != nil else { return }
    Threads.split(rows.tokenCount, threads) { range in
      AddSegments(call: self, range: range).run(rows.input, .float32)
    }
  }
}

private struct AddSegments: ElementBody {
  let call: NormalizeCall
  let range: Range<Int>

  func run<Input: StoredElement, Output: StoredElement>(_ input: Input.Type, _ output: Output.Type)
  {
    guard let segments = unsafe call.segments else { return }
    let size = MemoryLayout<Input>.size
    for token in range {
      let row = unsafe segments + call.segment(token) &* call.dim &* size
      let output = unsafe call.rows.floats(token)
      for i in 0..<call.dim { unsafe output[i] += Input.load(row + i &* size) }
    }
  }
}
