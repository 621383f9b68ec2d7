// `project` against plain loops on small whole numbers, of which every product and sum is exact.

import EmbedKernel
import TestSupport
import Testing

@Suite struct ProjectTests {
  private let folder: TemporaryFolder
  private let hidden = (0..<2 * 3 * 4).map { Float(($0 * 5) % 11 - 5) }
  private let table = (0..<6 * 4).map { Float(($0 * 7) % 9 - 4) }
  private let gradient = (0..<2 * 3 * 6).map { Float(($0 * 3) % 7 - 3) }

  init() throws {
    folder = try TemporaryFolder()
    _ = try folder.array("hidden.npy", hidden, [2, 3, 4])
    _ = try folder.array("half.npy", hidden.map { Half($0) }, [2, 3, 4])
    _ = try folder.array("table.npy", table, [6, 4])
    _ = try folder.array("g.npy", gradient, [2, 3, 6])
    _ = try folder.array("flat.npy", gradient, [6, 6])
  }

  @Test(arguments: ["hidden.npy", "half.npy"])
  func logitsAreProducts(_ file: String) throws {
    let run = try folder.run(
      "project --hidden \(file) --token-table table.npy --scale 0.5 --output out.npy")
    try #require(run.code == 0, "\(run.errors)")
    let (shape, actual) = try floats(folder.path("out.npy"))
    #expect(shape == [2, 3, 6])
    #expect(
      actual
        == (0..<36).map { i in
          (0..<4).reduce(0) { $0 + 0.5 * hidden[i / 6 * 4 + $1] * table[i % 6 * 4 + $1] }
        })
  }

  @Test func gradientsAreTheTransposes() throws {
    let run = try folder.run(
      "project --hidden hidden.npy --token-table table.npy --scale 2 --logit-gradient g.npy "
        + "--hidden-gradient h.npy --token-gradient t.npy --padding-id 4")
    try #require(run.code == 0, "\(run.errors)")
    let ofHidden = try floats(folder.path("h.npy"))
    #expect(ofHidden.shape == [2, 3, 4])
    #expect(
      ofHidden.elements
        == (0..<24).map { i in
          (0..<6).reduce(0) { $0 + 2 * gradient[i / 4 * 6 + $1] * table[$1 * 4 + i % 4] }
        })
    let ofTable = try floats(folder.path("t.npy"))
    #expect(ofTable.shape == [6, 4])
    #expect(
      ofTable.elements
        == (0..<24).map { i in
          i / 4 == 4
            ? 0 : (0..<6).reduce(0) { $0 + 2 * gradient[$1 * 6 + i / 4] * hidden[$1 * 4 + i % 4] }
        })
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
  ])
  func faults(_ words: String, _ code: Int32, _ message: String) throws {
    let run = try folder.run("project \(words)")
    #expect(run.code == code)
    #expect(run.errors.contains(message), "\(run.errors)")
    #expect(try !folder.contents.contains("o.npy"))
  }
}
