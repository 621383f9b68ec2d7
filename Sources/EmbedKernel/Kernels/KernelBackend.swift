// The waist of the engine: what a backend does, and the list of backends. Layers know no backend,
// backends know no layer. A new backend is one folder with this protocol and one line in `Backend`.

internal import CMicrokernels

/// One way to compute the kernels. All ways give the same bits.
protocol KernelBackend {
  /// output[b, t, :] = scale * tokens[ids[b, t], :] + positions[place(b, t), :]
  static func embed(_ pass: ForwardPass, _ plan: Plan)

  /// Steps the rows of a tile by an optimiser's arithmetic.
  static func step(_ tile: ek_step_tile, _ arithmetic: any StepArithmetic.Type, _ plan: Plan)
}

/// Optimisers need roots and quotients, which BLAS lacks: without C kernels they step in Swift.
extension KernelBackend {
  static func step(_ tile: ek_step_tile, _ arithmetic: any StepArithmetic.Type, _ plan: Plan) {
    unsafe arithmetic.run(tile)
  }
}

/// A backend's part of backward.
protocol RowSumKernels: KernelBackend {
  /// output[:] (+)= factor * sum of rows; in the order that the sum names.
  static func sum(_ sum: RowSum, _ plan: Plan)

  /// Ends a thread's part: what it wrote past the cache is visible to others afterwards.
  static func finish(_ plan: Plan)
}

extension RowSumKernels {
  static func finish(_ plan: Plan) {}
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

  func backward(_ pass: BackwardPass, _ plan: Plan) {
    switch self {
    case .openBLAS: BackwardWork<OpenBLASKernels>.run(pass, plan)
    case .simd: BackwardWork<SIMDKernels>.run(pass, plan)
    case .native: BackwardWork<NativeKernels>.run(pass, plan)
    }
  }

  func step(_ tile: ek_step_tile, _ arithmetic: any StepArithmetic.Type, _ plan: Plan) {
    switch self {
    case .openBLAS: unsafe OpenBLASKernels.step(tile, arithmetic, plan)
    case .simd: unsafe SIMDKernels.step(tile, arithmetic, plan)
    case .native: unsafe NativeKernels.step(tile, arithmetic, plan)
    }
  }

  func sum(_ sum: RowSum, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.sum(sum, plan)
    case .simd: SIMDKernels.sum(sum, plan)
    case .native: NativeKernels.sum(sum, plan)
    }
  }
}
