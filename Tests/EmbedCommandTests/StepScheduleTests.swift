// `step` with schedules, clipping, trainable rows and tables of bfloat16.

import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct StepScheduleTests {
  private static let (rows, dim, steps) = (6, 4, 9)
  private let folder: TemporaryFolder
  private let table: [Float]
  private let gradients: [Float]

  init() throws {
    folder = try TemporaryFolder()
    table = (0..<Self.rows * Self.dim).map { Float($0) / 8 }
    gradients = (0..<Self.steps * Self.rows * Self.dim).map { Float($0 % 7) - 3 }
    _ = try folder.array("table.npy", table, [Self.rows, Self.dim])
    _ = try folder.array("bf16.npy", table.map { BFloat16($0) }, [Self.rows, Self.dim])
    _ = try folder.array("f16.npy", table.map { Half($0) }, [Self.rows, Self.dim])
    _ = try folder.array("g.npy", gradients, [Self.steps, Self.rows, Self.dim])
    // Two gradients for row 5 of each step.
    let ids = (0..<Self.steps).flatMap { step -> [Int64] in [5, Int64(step % 5), 5] }
    _ = try folder.array("rows.npy", ids, [Self.steps, 3])
    let listed = gradients.prefix(Self.steps * 3 * Self.dim)
    _ = try folder.array("listed.npy", Array(listed), [Self.steps, 3, Self.dim])
  }

  private func step(_ options: String, table: String = "table.npy") throws -> CommandResult {
    try folder.run("step --table \(table) --gradients g.npy --output out.npy \(options)")
  }

  // 0.5 and a schedule's other numbers; rates by the formulas of the help.
  static let schedules: [(options: String, rate: @Sendable (Double) -> Double)] = [
    ("--learning-rate 0.5", { _ in 0.5 }),
    ("--learning-rate 0.5 --schedule linear-warmup --warmup 4", { 0.5 * min(1, $0 / 4) }),
    (
      "--learning-rate 0.5 --schedule cosine --warmup 2 --total-steps 7 --final-rate 0.1",
      { k in
        k <= 2 ? 0.5 * k / 2 : k >= 7 ? 0.1 : 0.1 + 0.4 * (1 + cos(.pi * (k - 2) / 5)) / 2
      }
    ),
    (
      "--learning-rate 0.5 --schedule linear --warmup 2 --total-steps 7 --final-rate 0.1",
      { k in k <= 2 ? 0.5 * k / 2 : k >= 7 ? 0.1 : 0.1 + 0.4 * (7 - k) / 5 }
    ),
    (
      "--learning-rate 0.5 --schedule inverse-square-root --warmup 3",
      { $0 <= 3 ? 0.5 * $0 / 3 : 0.5 * (3 / $0).squareRoot() }
    ),
    (
      "--learning-rate 0.5 --schedule steps --rate-factor 0.5 --rate-every 3",
      { 0.5 * pow(0.5, (($0 - 1) / 3).rounded(.down)) }
    ),
  ]

  @Test(arguments: schedules.indices) func rates(_ index: Int) throws {
    let (options, rate) = Self.schedules[index]
    let run = try step("--optimizer sgd \(options) --rates rates.npy")
    try #require(run.code == 0, "\(run.errors)")
    let written = try elements(folder.path("rates.npy"), as: Double.self)
    #expect(written.shape == [Self.steps])
    for (k, value) in written.elements.enumerated() {
      #expect(abs(value - rate(Double(k + 1))) < 1e-15)
    }
    // Stochastic gradient descent goes by the same rates.
    let actual = try floats(folder.path("out.npy")).elements
    let size = Self.rows * Self.dim
    for i in 0..<size {
      let moved = (0..<Self.steps).reduce(0.0) {
        $0 + rate(Double($1 + 1)) * Double(gradients[$1 * size + i])
      }
      #expect(abs(Double(actual[i]) - (Double(table[i]) - moved)) < 1e-5)
    }
  }

  @Test(arguments: ["2", "1", "inf", "3"]) func clipping(_ order: String) throws {
    let options = "--optimizer sgd --learning-rate 1 --clip 2 --clip-order \(order) --norms n.npy"
    func norm(_ values: [Double]) -> Double {
      let p = Double(order)
      guard let p, order != "inf" else { return values.map { abs($0) }.max() ?? 0 }
      return pow(values.reduce(0) { $0 + pow(abs($1), p) }, 1 / p)
    }
    func check(_ sums: [[Double]]) throws {
      let norms = try elements(folder.path("n.npy"), as: Double.self).elements
      var expected = table.map { Double($0) }
      for (step, sum) in sums.enumerated() {
        let length = norm(sum)
        #expect(abs(norms[step] - length) < 1e-9 * max(1, length))
        for i in sum.indices { expected[i] -= min(1, 2 / (length + 1e-6)) * sum[i] }
      }
      let actual = try floats(folder.path("out.npy")).elements
      for i in expected.indices { #expect(abs(Double(actual[i]) - expected[i]) < 1e-5) }
    }
    let size = Self.rows * Self.dim
    let run = try step(options)
    try #require(run.code == 0, "\(run.errors)")
    try check((0..<Self.steps).map { s in (0..<size).map { Double(gradients[s * size + $0]) } })
    // Of listed rows, the sums of those that are listed twice.
    let listed = try folder.run(
      "step --table table.npy --gradients listed.npy --rows rows.npy --output out.npy \(options)")
    try #require(listed.code == 0, "\(listed.errors)")
    try check(
      (0..<Self.steps).map { s in
        var sum = [Double](repeating: 0, count: size)
        for (k, row) in [5, s % 5, 5].enumerated() {
          for d in 0..<Self.dim {
            sum[row * Self.dim + d] += Double(gradients[(s * 3 + k) * Self.dim + d])
          }
        }
        return sum
      })
  }

  @Test func trainableRowsAloneMove() throws {
    let list = try folder.array("few.npy", [4, 1, 2] as [Int32], [3])
    for (rows, moving) in [("1:3", [1, 2]), (list, [1, 2, 4])] {
      let run = try step("--optimizer adam --trainable-rows \(rows)")
      try #require(run.code == 0, "\(run.errors)")
      let actual = try floats(folder.path("out.npy")).elements
      for row in 0..<Self.rows {
        let range = row * Self.dim..<(row + 1) * Self.dim
        #expect((actual[range] == table[range]) != moving.contains(row))
      }
    }
  }

  @Test func bfloat16TablesStep() throws {
    // Every step is far below half of a bfloat16's last place: masters keep it, roundings at random
    // make it now and then.
    let options = "--optimizer sgd --learning-rate 0.0001"
    let full = try step(options)
    try #require(full.code == 0, "\(full.errors)")
    let masters = try floats(folder.path("out.npy")).elements
    let run = try step(options, table: "bf16.npy")
    try #require(run.code == 0, "\(run.errors)")
    // The table's eighths are bfloat16 numbers, so master rows take the same steps.
    #expect(
      try elements(folder.path("out.npy"), as: BFloat16.self).elements
        == masters.map { BFloat16($0) })
    let random = try step(
      "\(options) --updates stochastic --rounding-seed 3", table: "bf16.npy")
    try #require(random.code == 0, "\(random.errors)")
    let rounded = try elements(folder.path("out.npy"), as: BFloat16.self).elements
    let optimizer = try StepScheduleTests.stochastic(table, gradients, seed: 3)
    #expect(rounded == optimizer)
    #expect(rounded != masters.map { BFloat16($0) })
  }

  /// The library's own steps.
  private static func stochastic(
    _ table: [Float], _ gradients: [Float], seed: UInt64
  ) throws -> [BFloat16] {
    let narrow = table.map { BFloat16($0) }
    let stepped = try EmbeddingTable<BFloat16>(
      rows: Self.rows, dim: Self.dim, copying: narrow.span)
    let optimizer = try TableOptimizer(
      .sgd(learningRate: .constant(0.0001)), for: stepped, updates: .stochastic(seed: seed))
    let size = Self.rows * Self.dim
    for step in 0..<Self.steps {
      try optimizer.step(dense: gradients.span.extracting(step * size..<(step + 1) * size))
    }
    return stepped.span.indices.map { stepped.span[$0] }
  }

  @Test(arguments: [
    ("--optimizer sgd --warmup 3", 2, "--warmup is not for --schedule constant"),
    ("--optimizer sgd --schedule cosine", 2, "--schedule cosine needs --total-steps"),
    ("--optimizer sgd --schedule cosine --warmup 5 --total-steps 5", 1, "total steps is 5"),
    ("--optimizer sgd --schedule steps", 2, "--schedule steps needs --rate-every"),
    ("--optimizer sgd --schedule linaer", 2, "did you mean 'linear'"),
    ("--optimizer sgd --clip -1", 2, "--clip: '-1' is not a number of 0 or more"),
    ("--optimizer sgd --clip 1 --clip-order 0", 2, "--clip-order: '0'"),
    ("--optimizer sgd --clip-order 2", 2, "--clip-order needs --clip"),
    ("--optimizer sgd --updates masters", 2, "--updates is for a bfloat16 or float16 table"),
    ("--optimizer sgd --trainable-rows 3:3", 2, "'3:3' is no range of rows"),
    ("--optimizer sgd --trainable-rows 3:9", 1, "trainable row is 6"),
    ("--optimizer sgd --state-settings ignore", 2, "--state-settings needs --state-in"),
  ])
  func faults(_ options: String, _ code: Int32, _ message: String) throws {
    let run = try step(options)
    #expect(run.code == code)
    #expect(run.errors.contains(message), "\(run.errors)")
    #expect(try !folder.contents.contains("out.npy"))
  }

  @Test func float16TablesStep() throws {
    let options = "--optimizer sgd --learning-rate 0.0001"
    let full = try step(options)
    try #require(full.code == 0, "\(full.errors)")
    let masters = try floats(folder.path("out.npy")).elements
    let run = try step(options, table: "f16.npy")
    try #require(run.code == 0, "\(run.errors)")
    #expect(
      try elements(folder.path("out.npy"), as: Half.self).elements == masters.map { Half($0) })
    let random = try step("\(options) --updates stochastic", table: "f16.npy")
    try #require(random.code == 0, "\(random.errors)")
    #expect(try elements(folder.path("out.npy"), as: Half.self).elements.count == masters.count)
  }

  @Test func momentsInBFloat16GoOnFromAState() throws {
    let options = "--optimizer adamw --moments bfloat16"
    let whole = try step("\(options) --state-out whole.safetensors")
    try #require(whole.code == 0, "\(whole.errors)")
    let file = try Safetensors(contentsOf: folder.path("whole.safetensors"))
    #expect(file.header.entry("exp_avg")?.type == .bfloat16)
    #expect(file.header.metadata["moments"] == "bfloat16")
    let other = try step("--optimizer adamw --state-in whole.safetensors")
    #expect(other.code == 1 && other.errors.contains("moments bfloat16"), "\(other.errors)")
    let refused = try step("--optimizer lamb --moments bfloat16")
    #expect(refused.code == 1 && refused.errors.contains("type of the moments of lamb"))
  }
}
