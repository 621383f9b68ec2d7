// `project` against plain loops on small whole numbers, of which every product and sum is exact.

import EmbedKernel
import TestSupport
import Testing

@Suite struct ProjectTests {
  private let folder: TemporaryFolder
  private let hidden = Self.numbers(24, step: 5, modulus: 11)
  private let table = Self.numbers(24, step: 7, modulus: 9)
  private let gradient = Self.numbers(36, step: 3, modulus: 7)

  /// Small whole numbers of both signs.
  private static func numbers(_ count: Int, step: Int, modulus: Int) -> [Float] {
    (0..<count).map { i in Float(i * step % modulus - modulus / 2) }
  }

  init() throws {
    folder = try TemporaryFolder()
    _ = try folder.array("hidden.npy", hidden, [2, 3, 4])
    _ = try folder.array("half.npy", hidden.map { Half($0) }, [2, 3, 4])
    _ = try folder.array("table.npy", table, [6, 4])
    _ = try folder.array("g.npy", gradient, [2, 3, 6])
    _ = try folder.array("flat.npy", gradient, [6, 6])
  }

  /// [rows, columns], each the scaled sum of `depth` terms.
  private func product(
    _ rows: Int, _ columns: Int, _ depth: Int, scale: Float,
    _ term: (_ row: Int, _ column: Int, _ k: Int) -> Float
  ) -> [Float] {
    var result: [Float] = []
    for row in 0..<rows {
      for column in 0..<columns {
        var sum: Float = 0
        for k in 0..<depth { sum += scale * term(row, column, k) }
        result.append(sum)
      }
    }
    return result
  }

  @Test(arguments: ["hidden.npy", "half.npy"])
  func logitsAreProducts(_ file: String) throws {
    let run = try folder.run(
      "project --hidden \(file) --token-table table.npy --scale 0.5 --output out.npy")
    try #require(run.code == 0, "\(run.errors)")
    let (shape, actual) = try floats(folder.path("out.npy"))
    #expect(shape == [2, 3, 6])
    let expected = product(6, 6, 4, scale: 0.5) { hidden[$0 * 4 + $2] * table[$1 * 4 + $2] }
    #expect(actual == expected)
  }

  @Test func gradientsAreTheTransposes() throws {
    let run = try folder.run(
      "project --hidden hidden.npy --token-table table.npy --scale 2 --logit-gradient g.npy "
        + "--hidden-gradient h.npy --token-gradient t.npy --padding-id 4")
    try #require(run.code == 0, "\(run.errors)")
    let ofHidden = try floats(folder.path("h.npy"))
    #expect(ofHidden.shape == [2, 3, 4])
    let hiddenGradient = product(6, 4, 6, scale: 2) { gradient[$0 * 6 + $2] * table[$2 * 4 + $1] }
    #expect(ofHidden.elements == hiddenGradient)
    let ofTable = try floats(folder.path("t.npy"))
    #expect(ofTable.shape == [6, 4])
    var tableGradient = product(6, 4, 6, scale: 2) {
      gradient[$2 * 6 + $0] * hidden[$2 * 4 + $1]
    }
    for i in 16..<20 { tableGradient[i] = 0 }
    #expect(ofTable.elements == tableGradient)
  }

  @Test(arguments: [
    ("--hidden hidden.npy --token-table table.npy", 2, "--output is needed"),
    ("--hidden hidden.npy --output o.npy", 2, "--token-table is needed"),
    ("--hidden g.npy --token-table table.npy --output o.npy", 1, "expected shape [..., 4]"),
    (
      "--hidden hidden.npy --token-table table.npy --logit-gradient flat.npy --token-gradient o.npy",
      1, "flat.npy': expected shape [2, 3, 6], found [6, 6]"
    ),
    (
      "--hidden hidden.npy --token-table table.npy --token-gradient o.npy", 2,
      "--token-gradient needs --logit-gradient"
    ),
    (
      "--hidden hidden.npy --token-table table.npy --logit-gradient g.npy", 2,
      "--hidden-gradient or --token-gradient is needed"
    ),
    (
      "--hidden hidden.npy --token-table table.npy --output o.npy --logit-gradient g.npy "
        + "--token-gradient o.npy", 2, "--output and --token-gradient are both '"
    ),
  ])
  func faults(_ words: String, _ code: Int32, _ message: String) throws {
    let run = try folder.run("project \(words)")
    #expect(run.code == code)
    #expect(run.errors.contains(message), "\(run.errors)")
    #expect(try !folder.contents.contains("o.npy"))
  }
}
