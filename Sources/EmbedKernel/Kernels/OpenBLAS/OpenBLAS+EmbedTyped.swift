// Forward pass of the OpenBLAS backend on two-byte elements. BLAS computes with floats alone, so
// each stretch of a row is widened to the stack, scaled and added there by BLAS, and rounded.

internal import COpenBLAS

extension OpenBLASKernels {
  static func embed(_ pass: TypedPass, _ plan: Plan) {
    Threads.split(pass.pass.tokenCount, plan.threads, TypedGather(pass: pass))
  }
}

private struct TypedGather: ParallelWork {
  let pass: TypedPass

  func run(_ range: Range<Int>) {
    // Two stretches of floats: small enough for the stack.
    unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * stretch) { floats in
      let sum = unsafe floats.baseAddress.unsafelyUnwrapped
      let call = pass.pass
      let (dim, scale) = (call.dim, call.options.scale)
      call.places.forEachRun(context: call.shape.context, in: range) { start, count, position in
        for k in 0..<count {
          let token = start + k
          for i in stride(from: 0, to: dim, by: stretch) {
            let n = min(stretch, dim - i)
            unsafe PortableConversion(
              from: pass.token(call.ids[token] * dim + i), to: sum, count: n
            ).run(pass.input, .float32)
            unsafe Self.scale(sum, by: scale, n)
            if let row = unsafe pass.position((position + k) * dim + i) {
              unsafe PortableConversion(from: row, to: sum + stretch, count: n)
                .run(pass.input, .float32)
              unsafe ek_blas_saxpy(Int32(n), 1, sum + stretch, 1, sum, 1)
            }
            unsafe PortableConversion(from: sum, to: pass.output(token * dim + i), count: n)
              .run(.float32, pass.output)
          }
        }
      }
    }
  }

  private static func scale(_ y: UnsafeMutablePointer<Float>, by scale: Float, _ count: Int) {
    guard scale != 1 else { return }
    if scale == 0 {
      // BLAS sets zeros here, where 0 * NaN and 0 * -1 are NaN and -0.
      for i in 0..<count { unsafe y[i] *= scale }
    } else {
      unsafe ek_blas_sscal(Int32(count), scale, y, 1)
    }
  }
}

/// Floats of a stretch.
private let stretch = 128
