// Forward pass of the OpenBLAS backend: gather the rows into the output, then one `cblas_saxpy` a
// sample over context * dim.
//
// Bytes a row: D*4 read from the token table and written, then read and written again by axpy:
// twice the traffic of a fused pass. It is the baseline that the other backends are held to.

internal import CBLASCalls

/// Gather, then axpy broadcast addition.
///
/// The gather is split over the plan's threads; axpy runs on OpenBLAS's own threads, whose number is the
/// host program's and is left as found.
enum OpenBLASKernels: BackendKernels {
  static func embed(_ call: EmbedCall, _ plan: Plan) {
    let (dim, scale) = (call.dim, call.options.scale)
    Threads.split(call.tokenCount, plan.threads, Gather(call: call))
    guard unsafe call.positions != nil || scale != 1 else { return }
    let everyToken = 0..<call.tokenCount
    call.places.forEachRun(context: call.shape.context, in: everyToken) { start, count, position in
      let output = unsafe call.floats(start)
      unsafe self.scale(output, by: scale, count: count * dim)
      if let row = unsafe call.positionRow(position) {
        unsafe add(row.assumingMemoryBound(to: Float.self), to: output, count: count * dim)
      }
    }
  }

  static func scale(_ y: UnsafeMutablePointer<Float>, by scale: Float, count: Int) {
    guard scale != 1 else { return }
    if scale == 0 {
      // BLAS sets zeros here, where 0 * NaN and 0 * -1 are NaN and -0.
      for i in 0..<count { unsafe y[i] *= scale }
    } else {
      eachCall(count) { start, n in unsafe ek_blas_sscal(n, scale, y + start, 1) }
    }
  }

  private static func add(
    _ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, count: Int
  ) {
    eachCall(count) { start, n in unsafe ek_blas_saxpy(n, 1, x + start, 1, y + start, 1) }
  }

  /// BLAS counts in 32 bits: a longer vector takes several calls.
  @inline(__always)
  private static func eachCall(_ count: Int, _ call: (_ start: Int, _ n: Int32) -> Void) {
    let longest = 1 << 30
    var start = 0
    while start < count {
      let n = min(longest, count - start)
      call(start, Int32(n))
      start += n
    }
  }
}

/// output[n, :] = tokens[ids[n], :]
private struct Gather: ParallelWork {
  let call: EmbedCall

  func run(_ range: Range<Int>) {
    let (ids, tokens, output) = unsafe (call.ids, call.tokens, call.output)
    let bytes = call.dim &* MemoryLayout<Float>.stride
    for token in range {
      unsafe (output + token &* bytes).copyMemory(
        from: tokens + ids[token] &* bytes, byteCount: bytes)
    }
  }
}
