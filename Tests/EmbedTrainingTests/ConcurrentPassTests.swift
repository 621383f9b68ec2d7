// Passes that run at once, and a host program that sets OpenBLAS's threads meanwhile: no bit changes and
// no number is lost. In processes of their own, as that number belongs to the process.

import CBLASCalls
import EmbedKernel
import EmbedTraining
import Foundation
import TestSupport
import Testing

@Suite struct ConcurrentPassTests {
  /// A model whose passes are compared, with its workspace and batch.
  private final class Runner: @unchecked Sendable {
    let model: GPT
    let workspace: GPTWorkspace
    let batch: GPTBatch
    let expected: Double
    let gradients: [String: [Float]]

    init(dim: Int) throws {
      let c = GPTCase(positions: .learned, direction: .causal, head: .tied)
      let configuration = c.configuration(
        vocabulary: 131, context: 65, dim: dim, heads: 4, layers: 1)
      model = try GPT.drawn(configuration, seed: 8)
      batch = GPTBatch(configuration, batch: 3, context: 65, seed: 9)
      workspace = try GPTWorkspace(
        for: model, batch: 3, context: 65, purpose: .training, threads: 2)
      expected = try batch.gradients(of: model, in: workspace)
      gradients = model.gradientValues
    }

    /// The passes of `count` that came out otherwise than alone.
    func differences(_ count: Int) throws -> Int {
      var wrong = 0
      for _ in 0..<count {
        let loss = try batch.gradients(of: model, in: workspace)
        if loss != expected || model.gradientValues != gradients { wrong += 1 }
      }
      return wrong
    }
  }

  #if DEBUG
    static let passes = 20
  #else
    static let passes = 200
  #endif

  /// Runs two models, a thread each, calling `beside` now and then until both are done.
  private static func differences(beside: () -> Void) throws -> Int {
    let runners = [try Runner(dim: 32), try Runner(dim: 192)]
    let results = Results()
    for runner in runners {
      Thread.detachNewThread { results.add((try? runner.differences(passes)) ?? passes) }
    }
    while results.count < runners.count {
      beside()
      usleep(300)
    }
    return results.sum
  }

  private final class Results: @unchecked Sendable {
    private let lock = NSLock()
    private var values: [Int] = []
    func add(_ value: Int) { lock.withLock { values.append(value) } }
    var count: Int { lock.withLock { values.count } }
    var sum: Int { lock.withLock { values.reduce(0, +) } }
  }

  @Test func modelsAtOnceLeaveTheirBitsAndTheNumber() async {
    await #expect(processExitsWith: .success) {
      try OpenBLASLibrary.setThreads(2)
      try #require(try ConcurrentPassTests.differences {} == 0)
      try #require(ek_blas_threads() == 2)
      try #require(OpenBLASLibrary.threads == 2)
    }
  }

  @Test func aHostsChoiceIsNotLost() async {
    await #expect(processExitsWith: .success) {
      try OpenBLASLibrary.setThreads(2)
      // By OpenBLAS's own function, as a host program that knows nothing of this library. Three times: a
      // product that begins in the very nanoseconds of a change may still take it.
      var changes = 0
      let differences = try ConcurrentPassTests.differences {
        if changes < 3 { ek_blas_set_threads(3) }
        changes += 1
      }
      try #require(changes > 0 && differences == 0)
      try #require(ek_blas_threads() == 3)
      // In the midst of a pass, where it is told apart from the pass's own number.
      try OneThreadedBLAS.run { () throws(EmbedError) in
        try OneThreadedBLAS.run { () throws(EmbedError) in ek_blas_set_threads(2) }
        // Another pass still runs: one thread, with the host's choice to come.
        OneThreadedBLASProbe.product()
      }
      try #require(ek_blas_threads() == 2)
      try OneThreadedBLAS.run { () throws(EmbedError) in
        try OpenBLASLibrary.setThreads(1)
        OneThreadedBLASProbe.product()
      }
      try #require(ek_blas_threads() == 1)
    }
  }

  /// A product in a pass sets the number back to 1 before it runs.
  private enum OneThreadedBLASProbe {
    static func product() {
      var elements = [Float](repeating: 1, count: 4)
      unsafe elements.withUnsafeMutableBufferPointer {
        let base = unsafe $0.baseAddress.unsafelyUnwrapped
        unsafe MatrixProduct.multiplyTile(
          StridedMatrix(base, 1, 1), StridedMatrix(base + 1, 1, 1), .overwrite,
          StridedMatrix(base + 2, 1, 1))
      }
      precondition(ek_blas_threads() == 1)
    }
  }
}
