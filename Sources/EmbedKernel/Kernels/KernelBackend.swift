// The waist of the engine: what a backend does, and the list of backends. Layers know no backend,
// backends know no layer. A new backend is one folder with this protocol and one line in `Backend`.

/// One way to compute the kernels. All ways give the same bits.
protocol KernelBackend {
  /// output[b, t, :] = scale * tokens[ids[b, t], :] + positions[place(b, t), :]
  static func embed(_ pass: ForwardPass, threads: Int, traffic: Traffic)
}

/// A kernel implementation.
public enum Backend: String, CaseIterable, Sendable {
  /// Gather, then `cblas_saxpy`.
  case openBLAS = "openblas"
  /// Swift's SIMD types.
  case simd
  /// C microkernels for the CPU's instruction set.
  case native

  func embed(_ pass: ForwardPass, threads: Int, traffic: Traffic) {
    switch self {
    case .openBLAS: OpenBLASKernels.embed(pass, threads: threads, traffic: traffic)
    case .simd: SIMDKernels.embed(pass, threads: threads, traffic: traffic)
    case .native: NativeKernels.embed(pass, threads: threads, traffic: traffic)
    }
  }
}
