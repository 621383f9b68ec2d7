// The entrance: choose a backend and call it on your own memory.

/// The kernels of a backend, or of the one that suits each call.
///
/// A small value: make one where it is used, or keep it. Calls keep no state, so one value serves
/// any number of threads at once.
public struct Kernels: Hashable, Sendable {
  /// The backend of every call, or nil for the one that suits the shape and the CPU.
  public var backend: Backend?

  /// The threads of every call, or nil for as many as the shape gains from.
  public var threads: Int?

  /// The instruction set of the native backend, or nil for the best that the CPU has.
  public var instructionSet: InstructionSet?

  /// Limits between ways other than those in force, such as a test's or a measurement's.
  package var tuning: Tuning?

  /// Kernels with some choices fixed; what is nil is chosen by shape and CPU, or by the environment
  /// variables `EMBEDKERNEL_BACKEND` (`openblas`, `simd`, `native`) and
  /// `EMBEDKERNEL_INSTRUCTION_SET` (`plain`, `neon`, `neonbf16`, `avx2`, `avx512`, `avx512bf16`).
  public init(
    backend: Backend? = nil, threads: Int? = nil, instructionSet: InstructionSet? = nil
  ) {
    self.backend = backend
    self.threads = threads
    self.instructionSet = instructionSet
  }

  /// What suits each call.
  public static let auto = Kernels()
  /// The OpenBLAS backend.
  public static let openBLAS = Kernels(backend: .openBLAS)
  /// The pure Swift backend.
  public static let simd = Kernels(backend: .simd)
  /// The C backend.
  public static let native = Kernels(backend: .native)

  /// The same on `count` threads.
  public func threads(_ count: Int?) -> Kernels {
    var kernels = self
    kernels.threads = count
    return kernels
  }

  /// The limits between ways of these kernels.
  @inline(__always)
  package var limits: Tuning { tuning ?? .inForce }
}
