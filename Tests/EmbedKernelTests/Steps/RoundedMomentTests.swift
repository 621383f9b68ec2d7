// Moments in bfloat16: their error against the bound that is stated for it, the same bits by every way,
// and what depends on the size of the state.

import EmbedKernel
import TestSupport
import Testing

@Suite struct RoundedMomentTests {
  private static let rows = 24

  private static func rule(_ untouched: UntouchedRows = .stepped) throws -> UpdateRule {
    try .adamW(learningRate: .constant(0.01), untouched: untouched).storingMoments(as: .bfloat16)
  }

  private static func moments(_ optimizer: TableOptimizer, _ name: String) -> [Float] {
    var found: [Float] = []
    optimizer.forEachStateArray { array, bytes in
      guard array.name == name else { return }
      found = unsafe bytes.withUnsafeBytes { bytes in
        unsafe bytes.bindMemory(to: BFloat16.self).map(\.float)
      }
    }
    return found
  }

  private static func state(_ optimizer: TableOptimizer) -> [[UInt8]] {
    var state: [[UInt8]] = []
    optimizer.forEachStateArray { _, bytes in state.append(copied(bytes)) }
    return state
  }

  private static func gradient(_ step: Int, _ dim: Int) throws -> RowSparseGradient {
    var random = SeededGenerator(seed: UInt64(step))
    var values: [Int: [Float]] = [:]
    for row in 0..<rows where (row + step) % 3 == 0 { values[row] = random.floats(dim) }
    return try sparseGradient(rows: rows, dim: dim, values)
  }

  /// The errors of both moments over 400 steps, in units of the stated standard deviation, of which each
  /// element has its own: sqrt(2^-16 * sum of beta^2k * m(t-k)^2). Their root mean square is at most 1,
  /// and their mean within five standard deviations of the mean of so many, 5 / sqrt(count), of 0.
  @Test func errorsAreWithinTheStatedBound() throws {
    let (dim, steps) = (1_024, 400)
    let optimizer = try TableOptimizer(Self.rule(), for: EmbeddingTable<Float>(rows: 1, dim: dim))
    var random = SeededGenerator(seed: 11)
    let sizes = random.floats(dim).map { $0 * 3 }
    let gradients = (0..<steps).map { _ in zip(sizes, random.floats(dim)).map { $0 + $1 } }
    for step in 0..<steps {
      try optimizer.step(dense: gradients[step])
      guard [20, 99, steps - 1].contains(step) else { continue }
      for (name, beta) in [("exp_avg", 0.9), ("exp_avg_sq", 0.999)] {
        let stored = Self.moments(optimizer, name)
        var (square, sum) = (0.0, 0.0)
        for i in 0..<dim {
          var (m, variance) = (0.0, 0.0)
          for gradient in gradients[...step] {
            let d = Double(gradient[i])
            m += (1 - beta) * ((beta == 0.9 ? d : d * d) - m)
            variance = variance * beta * beta + 0x1p-16 * m * m
          }
          let error = (Double(stored[i]) - m) / variance.squareRoot()
          square += error * error / Double(dim)
          sum += error / Double(dim)
        }
        #expect(square.squareRoot() <= 1 && square.squareRoot() > 0.1, "\(name), step \(step)")
        #expect(abs(sum) <= 5 / Double(dim).squareRoot(), "\(name), step \(step): mean \(sum)")
      }
    }
  }

  /// The way a parameter goes differs by no more than the bounds of both moments make a step differ:
  /// 0.9% and half of 8.8% where gradients stay of a size.
  @Test(arguments: UntouchedRows.allCases)
  func tablesStayNearThoseOfFloats(_ untouched: UntouchedRows) throws {
    let dim = 64
    func run(_ rule: UpdateRule) throws -> [Float] {
      let table = try EmbeddingTable<Float>(rows: Self.rows, dim: dim)
      let optimizer = try TableOptimizer(rule, for: table)
      for step in 0..<100 { try optimizer.step(Self.gradient(step % 7, dim)) }
      return elements(table)
    }
    let exact = try run(.adamW(learningRate: .constant(0.01), untouched: untouched))
    let rounded = try run(Self.rule(untouched))
    let way = exact.reduce(0) { $0 + Double($1) * Double($1) }
    let off = zip(exact, rounded).reduce(0) { $0 + pow2(Double($1.0) - Double($1.1)) }
    #expect(off > 0 && off.squareRoot() < 0.053 * way.squareRoot())
  }

  private func pow2(_ x: Double) -> Double { x * x }

  @Test(arguments: [1, 63, 65, 200, 1_100], UntouchedRows.allCases)
  func everyWayGivesTheSameBits(dim: Int, _ untouched: UntouchedRows) throws {
    func run(_ kernels: Kernels) throws -> ([Float], [[UInt8]]) {
      let table = try EmbeddingTable<Float>(
        rows: Self.rows, dim: dim, .normal(sigma: 0.5), seed: 3)
      let optimizer = try TableOptimizer(Self.rule(untouched), for: table, frozenRow: 5)
      for step in 0..<6 {
        if step % 2 == 1 { try optimizer.prepare(rows: [Int32(step), 9], using: kernels) }
        try optimizer.step(Self.gradient(step, dim), using: kernels)
      }
      return (elements(table), Self.state(optimizer))
    }
    let expected = try run(.simd.threads(1))
    for kernels in OptimizerBitTests.ways {
      let found = try run(kernels)
      expectSameBits(found.0, expected.0, "\(kernels)")
      #expect(found.1 == expected.1, "state, \(kernels)")
    }
  }

  @Test(arguments: UntouchedRows.allCases)
  func aRunGoesOnBitForBit(_ untouched: UntouchedRows) throws {
    let dim = 70
    let table = try EmbeddingTable<Float>(rows: Self.rows, dim: dim, .normal(sigma: 0.5), seed: 3)
    let optimizer = try TableOptimizer(Self.rule(untouched), for: table)
    for step in 0..<5 { try optimizer.step(Self.gradient(step, dim)) }
    let saved = Self.state(optimizer)
    let copy = try EmbeddingTable<Float>(rows: Self.rows, dim: dim, copying: table.span)
    let resumed = try TableOptimizer(Self.rule(untouched), for: copy)
    var next = 0
    try resumed.restoreState(stepCount: optimizer.stepCount) { _, bytes in
      fill(&bytes, saved[next])
      next += 1
    }
    for step in 5..<9 {
      try optimizer.step(Self.gradient(step, dim))
      try resumed.step(Self.gradient(step, dim))
    }
    expectSameBits(elements(copy), elements(table), "\(untouched)")
    #expect(Self.state(resumed) == Self.state(optimizer))
  }

  @Test func stateTakesHalfTheBytes() throws {
    let table = try EmbeddingTable<Float>(rows: 10, dim: 8)
    let full = try TableOptimizer(.adamW(learningRate: .constant(0.01)), for: table)
    let half = try TableOptimizer(Self.rule(), for: table)
    #expect(full.stateBytes == 10 * 8 * 8 && half.stateBytes == 10 * 8 * 4)
    #expect(half.stateArrays.map(\.element) == [.bfloat16, .bfloat16])
  }

  @Test func whatHasNoSuchMomentsIsRefused() throws {
    for name in UpdateRule.names {
      let rule = try UpdateRule.named(name, learningRate: .constant(0.1))
      let isAdam = ["adam", "sparse-adam", "adamw"].contains(name)
      if isAdam {
        #expect(throws: Never.self) { try rule.storingMoments(as: .bfloat16) }
      } else {
        #expect(throws: EmbedError.self) { try rule.storingMoments(as: .bfloat16) }
      }
      #expect(throws: EmbedError.self) { try rule.storingMoments(as: .float16) }
    }
    let optimizer = try TableOptimizer(
      Self.rule(), for: EmbeddingTable<Float>(rows: 2, dim: 3))
    #expect(throws: EmbedError.self) {
      try optimizer.change(to: .adamW(learningRate: .constant(0.1)))
    }
  }
}
