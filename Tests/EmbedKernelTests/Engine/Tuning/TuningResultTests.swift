// A tuning changes how a call runs and no bit of what it computes.

import EmbedKernel
import Foundation
import TestSupport
import Testing
import TuningOff

@Suite struct TuningResultTests {
  /// Tunings as odd as a file may hold.
  static let odd: [Tuning] = {
    var tunings: [Tuning] = []
    for limit in [1 << 10, 1 << 16, Tuning.never] {
      for rows in [1, 7, 256] {
        for backend in Backend.allCases {
          var tuning = Tuning()
          tuning.parallelBytes = limit
          tuning.streamingBytes = max(limit, 1 << 16)
          tuning.prefetchRows = rows
          tuning.nearBytes = rows == 7 ? 1 << 20 : 0
          tuning.byPositionBytes = rows == 1 ? Tuning.never : 1 << 10
          tuning.avx2Dim = limit == 1 << 10 ? 16 : limit
          tuning.avx2Bytes = max(limit, 1 << 16)
          tuning.backends.small = backend
          tuning.backends.medium = backend
          tuning.backends.large = backend
          tunings.append(tuning)
        }
      }
    }
    return tunings
  }()

  @Test(arguments: [(3, 5, 17), (8, 4, 256), (2, 33, 385), (4, 64, 128)])
  func bitsStayTheSame(_ batch: Int, _ context: Int, _ dim: Int) throws {
    let vocabulary = 97
    var generator = SeededGenerator(seed: 5)
    let tokens = (0..<vocabulary * dim).map { _ in Float.random(in: -1...1, using: &generator) }
    let positions = (0..<context * dim).map { _ in Float.random(in: -1...1, using: &generator) }
    let ids = (0..<batch * context).map { _ in
      Int32.random(in: 0..<Int32(vocabulary), using: &generator)
    }
    let shape = EmbeddingShape(vocabulary: vocabulary, batch: batch, context: context, dim: dim)
    let expected = try embed(
      Way(kernels: .auto.threads(1)), ids: ids, tokens: tokens, positions: positions, shape: shape)
    for tuning in Self.odd {
      let actual = try embed(
        Way(kernels: .auto, tuning: tuning), ids: ids, tokens: tokens, positions: positions,
        shape: shape)
      expectSameBits(actual, expected, "\(tuning)")
    }
  }

  @Test func aTuningChoosesTheBackendOfAuto() throws {
    var tuning = Tuning()
    tuning.backends.small = .simd
    tuning.backends.large = .openBLAS
    func tuned(_ kernels: Kernels) -> Kernels { Way(kernels: kernels, tuning: tuning).kernels }
    let small = EmbeddingShape(vocabulary: 10, batch: 1, context: 2, dim: 8)
    let medium = EmbeddingShape(vocabulary: 10, batch: 1, context: 1_024, dim: 256)
    let large = EmbeddingShape(vocabulary: 10, batch: 8, context: 1_024, dim: 768)
    #expect(try tuned(.auto).plan(for: small).backend == .simd)
    #expect(try tuned(.auto).plan(for: medium).backend == .native)
    #expect(try tuned(.auto).plan(for: large).backend == .openBLAS)
    #expect(try tuned(.native).plan(for: small).backend == .native)
    tuning.parallelBytes = Tuning.never
    #expect(try tuned(.native).plan(for: large).threads == 1)
    tuning.streamingBytes = Tuning.never
    #expect(try !tuned(.native).plan(for: large).isStreaming)
  }
}
