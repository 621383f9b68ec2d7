// Sums of gathered rows by backend.

extension Backend {
  /// Sums gathered rows.
  func sum(_ sum: RowSum, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.sum(sum, plan)
    case .simd: SIMDKernels.sum(sum, plan)
    case .native: NativeKernels.sum(sum, plan)
    }
  }
}
