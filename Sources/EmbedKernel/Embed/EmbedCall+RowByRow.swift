// The rare call with ids or positions outside their tables that the caller asked to tolerate: each
// row resolved on its own, in plain Swift, so that the fast kernels need no such case.

extension EmbedCall {
  /// The same sum, with ids and positions resolved by the options' policies.
  func embedRowByRow(threads: Int) {
    Threads.split(tokenCount, threads) { range in
      places.forEachRun(context: shape.context, in: range) { start, count, position in
        for i in 0..<count {
          let row = unsafe positions.map {
            unsafe $0 + min(position + i, maximum - 1) * dim
          }
          unsafe embedRow(start + i, position: row)
        }
      }
    }
  }

  private func embedRow(_ token: Int, position: UnsafePointer<Float>?) {
    let id = ids[token]
    let isKnown = id >= 0 && id < shape.vocabulary
    let row = unsafe tokens + max(0, min(id, shape.vocabulary - 1)) * dim
    let out = unsafe output + token * dim
    let isZero = !isKnown && options.unknownIDs == .zeroRow
    for i in 0..<dim {
      let value = unsafe isZero ? 0 : row[i] * options.scale
      unsafe out[i] = position.map { unsafe value + $0[i] } ?? value
    }
  }
}
