// The same bits for every thread count and every run, on batches with a hot token and with Zipf's law,
// and the summation's error bounds.

import EmbedKernel
import Foundation
import ReferenceKernels
import TestSupport
import Testing

@Suite struct BackwardDeterminismTests {
  enum Law: String, CaseIterable, Sendable {
    case uniform
    case zipf
    case hot
  }

  @Test(arguments: Law.allCases, Summation.allCases)
  func threadsChangeNoBit(law: Law, summation: Summation) throws {
    var random = SeededGenerator(seed: 77)
    let shape = EmbeddingShape(vocabulary: 3_000, batch: 8, context: 256, dim: 48)
    var case_ = BackwardBatch(
      &random, seed: 77, shape: shape, hotShare: law == .hot ? 0.9 : 0, kind: 0)
    if law == .zipf {
      case_ = case_.replacing(
        ids: (0..<2_048).map { _ in
          min(2_999, Int(pow(Double.random(in: 0..<1, using: &random), -3)) - 1)
        })
    }
    let options = BackwardOptions(scale: 3, summation: summation)
    for backend in Backend.allCases {
      var first: BackwardResult?
      var workspace = try BackwardWorkspace()
      for threads in [1, 2, 3, 7, 2, 1] {
        var tuning = Tuning()
        (tuning.parallelBytes, tuning.prefetchBytes) = (0, 0)
        // Far and near, by rows and by more than the batch has.
        tuning.updateNearBytes = threads % 2 == 0 ? 0 : 16 << 10
        tuning.updateBytesAhead = threads == 3 ? 1 << 10 : 12 << 10
        let way = Way(kernels: Kernels(backend: backend, threads: threads), tuning: tuning)
        let result = try case_.rowSparse(way, options, &workspace)
        if let first {
          expectSameBits(result.tokens, first.tokens, "tokens, \(law), \(way)")
          expectSameBits(result.positions, first.positions, "positions, \(law), \(way)")
        } else {
          first = result
        }
      }
    }
  }

  /// One row of 20,000 occurrences: each order is within its documented bound of the sum in Double.
  @Test(arguments: Summation.allCases)
  func errorsStayWithinTheirBounds(summation: Summation) throws {
    var random = SeededGenerator(seed: 3)
    let (count, dim) = (20_000, 16)
    let shape = EmbeddingShape(vocabulary: 1, batch: 1, context: count, dim: dim)
    let case_ = BackwardBatch(&random, seed: 3, shape: shape, kind: 0)
    var workspace = try BackwardWorkspace()
    let result = try case_.rowSparse(
      Way(kernels: .auto), BackwardOptions(summation: summation), &workspace)
    let (n, u) = (Double(count), 0x1p-24)
    for i in 0..<dim {
      let values = stride(from: i, to: count * dim, by: dim).map { Double(case_.gradient[$0]) }
      let (sum, sizes) = (values.reduce(0, +), values.reduce(0) { $0 + abs($1) })
      let bound =
        switch summation {
        case .chunked: (63 + log2(n / 64) + 1) * u * sizes
        case .pairwise: (7 + log2(n / 8) + 1) * u * sizes
        case .compensated: u * abs(sum) + n * u * u * sizes
        }
      #expect(abs(Double(result.tokens[i]) - sum) <= bound)
    }
  }
}
