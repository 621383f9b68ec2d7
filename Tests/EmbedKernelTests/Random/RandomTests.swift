// Philox against its published vectors, and the distributions drawn from it.

import EmbedKernel
import Testing

@Suite struct RandomTests {
  @Test func philoxGivesThePublishedVectors() throws {
    let vectors = try ForwardFixtures.philox()
    #expect(vectors.filter { $0.source == "published" }.count == 3)
    for vector in vectors {
      let words = Philox4x32.block(
        counter: SIMD4(vector.counter), key: SIMD2(vector.key[0], vector.key[1]))
      #expect(words == SIMD4(vector.expected))
    }
  }

  @Test func aBlockIsItsCounterAndKey() {
    let index: UInt64 = 0x1234_5678_9ABC_DEF0
    let stream: UInt64 = 0x0FED_CBA9_8765_4321
    let words = Philox4x32(seed: 0xA5A5_5A5A_0102_0304).block(index, stream: stream)
    #expect(
      words
        == Philox4x32.block(
          counter: SIMD4(0x9ABC_DEF0, 0x1234_5678, 0x8765_4321, 0x0FED_CBA9),
          key: SIMD2(0x0102_0304, 0xA5A5_5A5A)))
  }

  @Test(arguments: [Initialization.normal(sigma: 0.02), .uniform(low: -1, high: 3), .zeros])
  func everyThreadCountDrawsTheSameBits(initialization: Initialization) throws {
    let count = 200_003
    func draw(_ threads: Int, seed: UInt64 = 9) throws -> [Float] {
      let buffer = try AlignedBuffer<Float>(count: count)
      try unsafe initialization.fill(buffer.unsafeBuffer, seed: seed, threads: threads)
      return unsafe Array(buffer.unsafeBuffer)
    }
    let one = try draw(1)
    for threads in [2, 3, 7] { #expect(try draw(threads) == one) }
    if initialization != .zeros { #expect(try draw(1, seed: 10) != one) }
  }

  /// Bounds at five standard errors of each moment, for a million draws.
  @Test func normalHasItsMoments() throws {
    let count = 1_000_000
    let table = try EmbeddingTable<Float>(rows: 1_000, dim: 1_000, .normal(sigma: 2), seed: 77)
    var (sum, square, cube, fourth) = (0.0, 0.0, 0.0, 0.0)
    for i in 0..<count {
      let z = Double(unsafe table.unsafeBuffer[i]) / 2
      sum += z
      square += z * z
      cube += z * z * z
      fourth += z * z * z * z
    }
    let (n, root) = (Double(count), Double(count).squareRoot())
    #expect(abs(sum / n) < 5 / root)
    #expect(abs(square / n - 1) < 5 * 2.0.squareRoot() / root)
    #expect(abs(cube / n) < 5 * 15.0.squareRoot() / root)
    #expect(abs(fourth / n - 3) < 5 * 96.0.squareRoot() / root)
  }

  /// Quantiles from the normal distribution's tables (and SciPy's norm.ppf to 16 digits).
  @Test(
    arguments: [
      (0x0000_0000, -6.337_957_754_6), (0x8000_0000, 2.918e-10), (0xC000_0000, 0.674_489_750_6),
      (0xFFFF_FFFF, 6.337_957_754_6), (0x28F5_C28F, -0.994_457_883_1),
    ] as [(UInt32, Double)])
  func quantileIsTheNormalDistributions(word: UInt32, expected: Double) {
    #expect(abs(normalQuantile(word) - expected) < 1e-9)
  }

  @Test func uniformStaysInItsRange() throws {
    let table = try EmbeddingTable<Float>(
      rows: 1_000, dim: 100, .uniform(low: -0.5, high: 1.5), seed: 3)
    let values = unsafe Array(table.unsafeBuffer)
    #expect(values.allSatisfy { $0 >= -0.5 && $0 < 1.5 })
    let mean = values.reduce(0.0) { $0 + Double($1) } / 100_000
    #expect(abs(mean - 0.5) < 5 * 2 / 12.0.squareRoot() / 100_000.0.squareRoot())
    // A range of neighbouring floats has no room for rounding up to its end.
    let narrow = try EmbeddingTable<Float>(
      rows: 1, dim: 1_000, .uniform(low: 1, high: Float(1).nextUp), seed: 3)
    #expect(unsafe Array(narrow.unsafeBuffer).allSatisfy { $0 == 1 })
  }

  @Test(
    arguments: [
      Initialization.normal(sigma: -1), .normal(sigma: .nan), .uniform(low: 2, high: 1),
      .uniform(low: -.infinity, high: 1), .uniform(low: -3e38, high: 3e38),
    ])
  func badNumbersAreRefused(initialization: Initialization) {
    #expect(throws: EmbedError.self) { try EmbeddingTable<Float>(rows: 1, dim: 1, initialization) }
  }
}
