// The rare call with ids or positions outside their tables that the caller asked to tolerate: each
// row resolved on its own, in plain Swift, so that the fast kernels need no such case.

extension EmbedCall {
  /// The same sum, with ids and positions resolved by the options' policies.
  func embedRowByRow(threads: Int) {
    Threads.split(tokenCount, threads) { range in
      RowByRow(call: self, range: range).run(input, written)
    }
  }
}

private struct RowByRow: ElementBody {
  let call: EmbedCall
  let range: Range<Int>

  func run<Input: StoredElement, Output: StoredElement>(_ input: Input.Type, _ output: Output.Type)
  {
    let last = call.shape.vocabulary - 1
    call.places.forEachRun(context: call.shape.context, in: range) { start, count, position in
      for token in start..<start + count {
        let id = call.ids[token]
        let isZero = (id < 0 || id > last) && call.options.unknownIDs == .zeroRow
        let row = unsafe call.tokenRow(max(0, min(id, last)))
        let place = unsafe call.positionRow(min(position + token - start, call.maximum - 1))
        let out = unsafe call.outputRow(token)
        for i in 0..<call.dim {
          let at = i * MemoryLayout<Input>.size
          var value = unsafe isZero ? 0 : Input.load(row + at) * call.options.scale
          if let place = unsafe place { unsafe value += Input.load(place + at) }
          unsafe Output.store(value, out + i * MemoryLayout<Output>.size)
        }
      }
    }
  }
}
