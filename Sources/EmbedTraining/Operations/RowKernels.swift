// Which of CTransformer's kernels passes run: those of the instruction set that EmbedKernel's own take.

internal import CTransformer
internal import EmbedKernel

enum RowKernels {
  /// Has CTransformer take the process's instruction set.
  ///
  /// - Throws: `invalidEnvironment`, `unavailableInstructionSet`.
  static func choose() throws(EmbedError) {
    if let error { throw error }
  }

  /// What stood in the way when it was chosen, once for the process.
  private static let error: EmbedError? = {
    do throws(EmbedError) {
      unsafe et_choose(et_operations_for(code(try InstructionSet.ofProcess)))
      return nil
    } catch {
      return error
    }
  }()

  private static func code(_ set: InstructionSet) -> et_instruction_set {
    switch set {
    case .plain, .neon: ET_PLAIN
    case .avx2: ET_AVX2
    case .avx512, .avx512bf16: ET_AVX512
    }
  }
}
