// The waist of the engine: what a backend does, and the list of backends. Layers know no backend,
// backends know no layer. A new backend is one folder with this protocol and one line in `Backend`.

internal import CMicrokernels

/// One way to compute the kernels. All ways give the same bits.
protocol KernelBackend {
  /// output[b, t, :] = scale * tokens[ids[b, t], :] + positions[place(b, t), :]
  static func embed(_ pass: ForwardPass, _ plan: Plan)

  /// Steps the rows of a tile by an optimiser's arithmetic.
  static func step(
    _ tile: ek_step_tile, _ arithmetic: any StepArithmetic.Type,
    _ kernels: UnsafePointer<ek_kernels>
  )

  /// sum[columns] = the sum of the listed rows' columns, added in order.
  static func sumRows(_ work: ek_row_sum, _ kernels: UnsafePointer<ek_kernels>)
}

/// Optimisers need roots and quotients, which BLAS lacks: without C kernels they step in Swift.
extension KernelBackend {
  static func step(
    _ tile: ek_step_tile, _ arithmetic: any StepArithmetic.Type,
    _ kernels: UnsafePointer<ek_kernels>
  ) {
    unsafe arithmetic.run(tile)
  }

  static func sumRows(_ work: ek_row_sum, _ kernels: UnsafePointer<ek_kernels>) {
    unsafe SIMDKernels.sumRows(work)
  }
}

/// A kernel implementation.
public enum Backend: String, CaseIterable, Sendable {
  /// Gather, then `cblas_saxpy`.
  case openBLAS = "openblas"
  /// Swift's SIMD types.
  case simd
  /// C microkernels for the CPU's instruction set.
  case native

  func embed(_ pass: ForwardPass, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.embed(pass, plan)
    case .simd: SIMDKernels.embed(pass, plan)
    case .native: NativeKernels.embed(pass, plan)
    }
  }

  func step(
    _ tile: ek_step_tile, _ arithmetic: any StepArithmetic.Type,
    _ kernels: UnsafePointer<ek_kernels>
  ) {
    switch self {
    case .openBLAS: unsafe OpenBLASKernels.step(tile, arithmetic, kernels)
    case .simd: unsafe SIMDKernels.step(tile, arithmetic, kernels)
    case .native: unsafe NativeKernels.step(tile, arithmetic, kernels)
    }
  }

  func sumRows(_ work: ek_row_sum, _ kernels: UnsafePointer<ek_kernels>) {
    switch self {
    case .openBLAS: unsafe OpenBLASKernels.sumRows(work, kernels)
    case .simd: unsafe SIMDKernels.sumRows(work, kernels)
    case .native: unsafe NativeKernels.sumRows(work, kernels)
    }
  }
}
