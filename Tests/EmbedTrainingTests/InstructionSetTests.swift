// Every instruction set reaches every C kernel through the environment, and threads change no bit on any.
// The environment is read once a process, so each set has a child.

import CKernels
import EmbedKernel
import EmbedTraining
import Foundation
import TestSupport
import Testing

@Suite struct InstructionSetTests {
  /// What a child computes: losses and gradients on 1, 2, 3 and 7 threads. Sizes are no multiple of a
  /// vector or a tile.
  private static func results() throws -> (losses: [Double], gradients: [[String: [Float]]]) {
    let c = GPTCase(positions: .t5, direction: .causal, head: .tied)
    let configuration = c.configuration(vocabulary: 131, context: 67, dim: 44, heads: 4, layers: 2)
    let model = try GPT.drawn(configuration, seed: 8)
    let batch = GPTBatch(configuration, batch: 3, context: 67, seed: 9)
    var (losses, gradients) = ([Double](), [[String: [Float]]]())
    for threads in [1, 2, 3, 7] {
      let workspace = try GPTWorkspace(
        for: model, batch: 3, context: 67, purpose: .training, threads: threads)
      losses.append(try batch.gradients(of: model, in: workspace))
      gradients.append(model.gradientValues)
    }
    return (losses, gradients)
  }

  /// Requires that a child with `set` computes the same on all numbers of threads.
  private static func check(_ set: InstructionSet) throws {
    unsafe setenv("EMBEDKERNEL_INSTRUCTION_SET", set.rawValue, 1)
    try #require(try InstructionSet.ofProcess == set)
    let (losses, gradients) = try results()
    for loss in losses { try #require(loss == losses[0]) }
    for values in gradients { try #require(values == gradients[0]) }
    try #require(losses[0].isFinite && losses[0] > 1)
    let plan = try Kernels.native.plan(
      for: EmbeddingShape(vocabulary: 131, batch: 3, context: 67, dim: 44))
    try #require(plan.instructionSet == set)
  }

  // An exit test captures nothing, so each set has its own.
  @Test(.enabled(if: InstructionSet.plain.isAvailable)) func plain() async {
    await #expect(processExitsWith: .success) { try InstructionSetTests.check(.plain) }
  }

  @Test(.enabled(if: InstructionSet.neon.isAvailable)) func neon() async {
    await #expect(processExitsWith: .success) { try InstructionSetTests.check(.neon) }
  }

  @Test(.enabled(if: InstructionSet.neonbf16.isAvailable)) func neonbf16() async {
    await #expect(processExitsWith: .success) { try InstructionSetTests.check(.neonbf16) }
  }

  @Test(.enabled(if: InstructionSet.avx2.isAvailable)) func avx2() async {
    await #expect(processExitsWith: .success) { try InstructionSetTests.check(.avx2) }
  }

  @Test(.enabled(if: InstructionSet.avx512.isAvailable)) func avx512() async {
    await #expect(processExitsWith: .success) { try InstructionSetTests.check(.avx512) }
  }

  @Test(.enabled(if: InstructionSet.avx512bf16.isAvailable)) func avx512bf16() async {
    await #expect(processExitsWith: .success) { try InstructionSetTests.check(.avx512bf16) }
  }

  @Test(.enabled(if: InstructionSet.avx2.isAvailable))
  func theTransformersKernelsAreTheNamedOnes() async {
    await #expect(processExitsWith: .success) {
      try InstructionSetTests.expectKernels(.plain, EK_PLAIN)
    }
    await #expect(processExitsWith: .success) {
      try InstructionSetTests.expectKernels(.avx2, EK_AVX2)
    }
  }

  private static func expectKernels(_ set: InstructionSet, _ code: ek_instruction_set) throws {
    unsafe setenv("EMBEDKERNEL_INSTRUCTION_SET", set.rawValue, 1)
    _ = try results()
    let isInForce = unsafe RowKernels.table == ek_kernels_for(code)
    try #require(isInForce)
  }

  @Test func anUnknownSetIsNamed() async {
    await #expect(processExitsWith: .success) {
      unsafe setenv("EMBEDKERNEL_INSTRUCTION_SET", "avx3", 1)
      #expect(throws: EmbedError.self) { try InstructionSetTests.results() }
      do throws(EmbedError) {
        _ = try InstructionSet.ofProcess
        Issue.record("no error")
      } catch {
        try #require("\(error)".contains("EMBEDKERNEL_INSTRUCTION_SET is 'avx3'"))
      }
    }
  }
}
