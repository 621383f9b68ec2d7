// Which C kernels the native backend can run.

package import CKernels

/// An instruction set that the native backend has kernels for.
public enum InstructionSet: String, CaseIterable, Sendable {
  /// C without intrinsics, on any machine.
  case plain
  /// AArch64's Advanced SIMD.
  case neon
  /// The same with FEAT_BF16, which rounds to bfloat16.
  case neonbf16
  /// x86-64 with AVX2.
  case avx2
  /// x86-64 with AVX-512F.
  case avx512
  /// x86-64 with AVX-512F and AVX512_BF16, which rounds to bfloat16.
  case avx512bf16

  /// Whether this build and this CPU have it.
  public var isAvailable: Bool { unsafe kernels != nil }

  /// The best that this CPU has.
  public static let best = allCases.last { $0.isAvailable } ?? .plain

  /// The one of every C kernel of this process, unless a call names another: the environment's
  /// `EMBEDKERNEL_INSTRUCTION_SET`, or the best.
  ///
  /// - Throws: `invalidEnvironment`, `unavailableInstructionSet`.
  public static var ofProcess: InstructionSet {
    get throws(EmbedError) {
      if let error = environment.error { throw error }
      guard let set = environment.value else { return best }
      guard set.isAvailable else { throw .unavailableInstructionSet(set) }
      return set
    }
  }

  /// What the environment says, read once.
  static let environment = EnvironmentChoice<InstructionSet>("EMBEDKERNEL_INSTRUCTION_SET")

  /// Its kernels, or nil where this build or this CPU lacks it.
  package var kernels: UnsafePointer<ek_kernels>? { unsafe ek_kernels_for(code) }

  private var code: ek_instruction_set {
    switch self {
    case .plain: EK_PLAIN
    case .neon: EK_NEON
    case .neonbf16: EK_NEON_BF16
    case .avx2: EK_AVX2
    case .avx512: EK_AVX512
    case .avx512bf16: EK_AVX512_BF16
    }
  }
}
