// The waist of the engine: what a backend does, and the list of backends. Layers know no backend,
// backends know no layer. A new backend is one folder with this protocol and one line in `Backend`.

/// One way to compute the kernels. All ways give the same bits.
protocol BackendKernels {
  /// output[b, t, :] = scale * tokens[ids[b, t], :] + positions[place(b, t), :]
  static func embed(_ pass: EmbedCall, _ plan: Plan)

  /// Rotates the pairs of a nest of rows: (a, b) becomes (a*c - b*s, b*c + a*s). The same bits for
  /// all but OpenBLAS, whose `srot` fuses multiplication and addition.
  static func rotate(_ tile: RotaryTile, _ plan: Plan)
}

/// A backend's part of backward.
protocol RowSumKernels: BackendKernels {
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

  func embed(_ pass: EmbedCall, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.embed(pass, plan)
    case .simd: SIMDKernels.embed(pass, plan)
    case .native: NativeKernels.embed(pass, plan)
    }
  }

  @inline(__always)
  func rotate(_ pass: RotaryPass, _ plan: Plan) {
    switch self {
    case .openBLAS: pass.run(OpenBLASKernels.self, plan)
    case .simd: pass.run(SIMDKernels.self, plan)
    case .native: pass.run(NativeKernels.self, plan)
    }
  }

  func backward(_ pass: BackwardPass, _ plan: Plan) {
    switch self {
    case .openBLAS: BackwardWork<OpenBLASKernels>.run(pass, plan)
    case .simd: BackwardWork<SIMDKernels>.run(pass, plan)
    case .native: BackwardWork<NativeKernels>.run(pass, plan)
    }
  }

  /// output[n, :] = dropout(norm(x[n, :])), x being the sum above plus a segment row
  func normalize(_ pass: NormalizePass, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.normalize(pass, plan)
    case .simd, .native: NativeKernels.normalize(pass, plan)
    }
  }

  /// The backward of `normalize`, whose parameter gradients accumulate in fixed chunks.
  func normalizeGradient(_ pass: NormalizeGradientPass, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.normalizeGradient(pass, plan)
    case .simd, .native: NativeKernels.normalizeGradient(pass, plan)
    }
  }
}
