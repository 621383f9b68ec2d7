// `step` on files of NumPy: dense and listed rows agree with each other and with the formula, for every
// optimiser that leaves nothing to tolerance.

import EmbedKernel
import TestSupport
import Testing

@Suite struct StepTests {
  private static let (rows, dim, steps) = (6, 4, 3)
  private let folder: TemporaryFolder
  private let table: [Float]
  private let gradients: [Float]

  init() throws {
    folder = try TemporaryFolder()
    table = (0..<Self.rows * Self.dim).map { Float($0) / 8 }
    gradients = (0..<Self.steps * Self.rows * Self.dim).map { Float($0 % 7) - 3 }
    _ = try folder.array("table.npy", table, [Self.rows, Self.dim])
    _ = try folder.array("dense.npy", gradients, [Self.steps, Self.rows, Self.dim])
    let rows = (0..<Self.steps).flatMap { _ in (0..<Self.rows).map { Int64($0) } }
    _ = try folder.array("rows.npy", rows, [Self.steps, Self.rows])
  }

  private func step(_ words: String...) throws -> CommandResult {
    try embedkernel(
      ["step", "--table", folder.path("table.npy"), "--gradients", folder.path("dense.npy")]
        + ["--output", folder.path("out.npy")] + words)
  }

  @Test func gradientDescentFollowsTheFormula() throws {
    let result = try step("--optimizer", "sgd", "--learning-rate", "0.5", "--frozen-row", "2")
    try #require(result.code == 0, "\(result.errors)")
    let (shape, actual) = try floats(folder.path("out.npy"))
    #expect(shape == [Self.rows, Self.dim])
    let size = Self.rows * Self.dim
    for i in 0..<size {
      // Eighths and halves: nothing is rounded.
      let sum = (0..<Self.steps).reduce(Float(0)) { $0 + gradients[$1 * size + i] }
      #expect(actual[i] == (i / Self.dim == 2 ? table[i] : table[i] - 0.5 * sum))
    }
  }

  @Test(arguments: UpdateRule.names)
  func listedRowsAgreeWithDense(_ name: String) throws {
    let dense = try step("--optimizer", name)
    try #require(dense.code == 0, "\(dense.errors)")
    let expected = try floats(folder.path("out.npy")).elements
    #expect(expected != table)
    for untouched in UntouchedRows.allCases where name == "adamw" || untouched != .caughtUp {
      let listed = try step(
        "--optimizer", name, "--rows", folder.path("rows.npy"), "--untouched", untouched.rawValue)
      try #require(listed.code == 0, "\(listed.errors)")
      let actual = try floats(folder.path("out.npy")).elements
      for i in 0..<expected.count {
        #expect(abs(actual[i] - expected[i]) <= 1e-6 * max(1, abs(expected[i])))
      }
    }
  }

  /// AdamW's first step by hand: both moments are corrected to the gradient and its square.
  @Test func numbersAreTaken() throws {
    let size = Self.rows * Self.dim
    _ = try folder.array("dense.npy", Array(gradients.prefix(size)), [1, Self.rows, Self.dim])
    let result = try step(
      "--optimizer", "adamw", "--learning-rate", "0.25", "--weight-decay", "0.5", "--beta1", "0.5",
      "--beta2", "0.75", "--epsilon", "1")
    try #require(result.code == 0, "\(result.errors)")
    let actual = try floats(folder.path("out.npy")).elements
    for i in 0..<size {
      let (g, p) = (Double(gradients[i]), Double(table[i]))
      let expected = p - 0.25 * 0.5 * p - 0.25 * g / (abs(g) + 1)
      #expect(abs(Double(actual[i]) - expected) <= 1e-6)
    }
    let lacking = try step("--optimizer", "sgd", "--beta2", "0.9")
    #expect(lacking.code == 1)
    #expect(lacking.errors.contains("beta2 of sgd"))
  }

  @Test func whatDoesNotFitIsNamed() throws {
    let missing = try embedkernel(["step", "--optimizer", "sgd"])
    #expect(missing.code == 2)
    #expect(missing.errors.contains("--table is needed"))
    let caughtUp = try step("--optimizer", "sgd", "--untouched", "caught-up")
    #expect(caughtUp.code == 1)
    #expect(caughtUp.errors.contains("only adamw catches rows up"))
    _ = try folder.array("rows.npy", [Int32(0), 9], [1, 2])
    let shape = try step("--optimizer", "sgd", "--rows", folder.path("rows.npy"))
    #expect(shape.code == 1)
    #expect(shape.errors.contains("expected shape [1, 2, 4], found [3, 6, 4]"))
    _ = try folder.array("rows.npy", [Int32](repeating: 9, count: 18), [3, 6])
    let outside = try step("--optimizer", "sgd", "--rows", folder.path("rows.npy"))
    #expect(outside.code == 1)
    #expect(outside.errors.contains("row 9 at [0, 0] is outside the table's 6 rows"))
    let twice = try step("--optimizer", "sgd", "--state-out", folder.path("out.npy"))
    #expect(twice.code == 2)
    #expect(twice.errors.contains("--output and --state-out are both"))
  }

  @Test func noTableIsWrittenWhereRatesOrNormsCannotBe() throws {
    for option in ["--rates", "--norms"] {
      let result = try step("--optimizer", "sgd", option, folder.path("missing/numbers.npy"))
      #expect(result.code == 1)
      #expect(result.errors.contains("missing/numbers.npy"))
      #expect(try !folder.contents.contains("out.npy"))
    }
  }
}
