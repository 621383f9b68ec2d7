// Optimiser steps by backend. They need roots and quotients, which BLAS lacks: without C kernels rows
// are stepped in Swift.

internal import CMicrokernels

extension Backend {
  /// Steps the rows of a tile by an optimiser's arithmetic.
  func step(_ tile: ek_step_tile, _ arithmetic: any StepArithmetic.Type, _ plan: Plan) {
    switch self {
    case .openBLAS, .simd: unsafe arithmetic.run(tile)
    case .native: unsafe NativeKernels.step(tile, arithmetic, plan)
    }
  }

  /// Sums gathered rows.
  func sum(_ sum: RowSum, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.sum(sum, plan)
    case .simd: SIMDKernels.sum(sum, plan)
    case .native: NativeKernels.sum(sum, plan)
    }
  }
}
