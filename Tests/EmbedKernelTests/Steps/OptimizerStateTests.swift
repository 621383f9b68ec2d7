// Saving and restoring state: a run that stops and goes on gives the same bits as one that does not.

import EmbedKernel
import TestSupport
import Testing

@Suite struct OptimizerStateTests {
  struct Case: Sendable, CustomStringConvertible {
    let name: String
    let untouched: UntouchedRows
    let trainable: TrainableRows
    var description: String { "\(name), \(untouched.rawValue), \(trainable)" }

    static let all = UpdateRule.names.flatMap { name in
      UntouchedRows.allCases.filter { name == "adamw" || $0 != .caughtUp }.flatMap { untouched in
        [TrainableRows.all, .range(10..<25), .rows([3, 8, 9])].map {
          Case(name: name, untouched: untouched, trainable: $0)
        }
      }
    }
  }

  private let rows = 25
  private let dim = 21

  private func run(
    _ optimizer: TableOptimizer, _ steps: Range<Int>, _ random: inout SeededGenerator
  ) throws {
    for _ in steps {
      var values: [Int: [Float]] = [:]
      for row in 0..<rows where Int.random(in: 0..<4, using: &random) == 0 {
        values[row] = (0..<dim).map { _ in .random(in: -1...1, using: &random) }
      }
      try prepare(optimizer, rows: Array(values.keys))
      try optimizer.step(sparseGradient(rows: rows, dim: dim, values))
    }
  }

  @Test(arguments: Case.all)
  func aRunGoesOnBitForBit(_ c: Case) throws {
    let rule = try UpdateRule.named(
      c.name, learningRate: .cosine(peak: 0.01, warmup: 10, total: 700),
      numbers: UpdateNumbers(weightDecay: 0.1), untouched: c.untouched)
    let table = try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 1), seed: 5)
    let optimizer = try TableOptimizer(rule, for: table, trainable: c.trainable)
    var random = SeededGenerator(seed: 6)
    try run(optimizer, 0..<330, &random)

    var saved: [String: [UInt8]] = [:]
    optimizer.forEachStateArray { array, bytes in
      #expect(bytes.byteCount == array.byteCount)
      saved[array.name] = copied(bytes)
    }
    let copy = try EmbeddingTable<Float>(rows: rows, dim: dim, copying: table.span)
    let resumed = try TableOptimizer(rule, for: copy, trainable: c.trainable)
    try resumed.restoreState(stepCount: optimizer.stepCount) { array, bytes in
      let values = try #require(saved[array.name])
      fill(&bytes, values)
    }
    #expect(resumed.stepCount == 330)

    var (left, right) = (random, random)
    try run(optimizer, 330..<340, &left)
    try run(resumed, 330..<340, &right)
    try optimizer.synchronise()
    try resumed.synchronise()
    expectSameBits(elements(copy), elements(table), "\(c)")
  }

  @Test func aStateThatCannotBeIsRefused() throws {
    let table = try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 1), seed: 5)
    let optimizer = try TableOptimizer(
      .adamW(learningRate: .constant(0.1), untouched: .caughtUp), for: table)
    var random = SeededGenerator(seed: 6)
    try run(optimizer, 0..<5, &random)
    func bytes() -> [[UInt8]] {
      var all: [[UInt8]] = []
      optimizer.forEachStateArray { _, bytes in
        all.append(copied(bytes))
      }
      return all
    }
    let before = bytes()
    #expect(
      throws: EmbedError.invalidSize(
        argument: "step count", value: -1, expected: "0..<\(Int32.max)")
    ) { try optimizer.restoreState(stepCount: -1) { _, _ in } }
    #expect(throws: EmbedError.self) {
      // Rows that are further than the run.
      try optimizer.restoreState(stepCount: 3) { array, bytes in
        guard array.name == "parameter_steps" else { return }
        fill(&bytes, [UInt8](repeating: 1, count: bytes.byteCount))
      }
    }
    struct Stop: Error {}
    #expect(throws: Stop.self) {
      try optimizer.restoreState(stepCount: 3) { array, _ in
        if array.name == "residual" { throw Stop() }
      }
    }
    #expect(bytes() == before)
    #expect(optimizer.stepCount == 5)
  }
}
