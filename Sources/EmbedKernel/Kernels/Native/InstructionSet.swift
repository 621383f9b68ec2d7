// Which C microkernels run: the best the CPU has, or the one an environment variable names.

internal import CMicrokernels

/// An instruction set that the native backend has kernels for.
public enum InstructionSet: String, CaseIterable, Sendable {
  /// C without intrinsics, on any machine.
  case plain
  /// AArch64's Advanced SIMD.
  case neon
  /// x86-64 with AVX2.
  case avx2
  /// x86-64 with AVX-512F.
  case avx512

  /// Whether this build and this CPU have it.
  public var isAvailable: Bool { unsafe ek_kernels_for(code) != nil }

  /// The instruction set the native backend takes: the best available, or the one that
  /// `EMBEDKERNEL_INSTRUCTION_SET` names, if the machine has that.
  public static let current: InstructionSet = {
    let named = environment("EMBEDKERNEL_INSTRUCTION_SET").flatMap(InstructionSet.init)
    if let named, named.isAvailable { return named }
    return allCases.last { $0.isAvailable } ?? .plain
  }()

  var kernels: ek_kernels { unsafe ek_kernels_for(code).unsafelyUnwrapped.pointee }

  private var code: ek_instruction_set {
    switch self {
    case .plain: EK_PLAIN
    case .neon: EK_NEON
    case .avx2: EK_AVX2
    case .avx512: EK_AVX512
    }
  }
}
