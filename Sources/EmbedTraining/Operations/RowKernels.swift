// The C kernels that passes run: those of the instruction set that EmbedKernel's own take.

package import CKernels
internal import EmbedKernel

package enum RowKernels {
  /// Says what stands in the way of the process's instruction set.
  ///
  /// - Throws: `invalidEnvironment`, `unavailableInstructionSet`.
  static func check() throws(EmbedError) { _ = try InstructionSet.ofProcess }

  /// The process's, once `check` has passed.
  package nonisolated(unsafe) static let table: UnsafePointer<ek_kernels> = {
    let set = (try? InstructionSet.ofProcess) ?? .plain
    return unsafe set.kernels.unsafelyUnwrapped
  }()
}
