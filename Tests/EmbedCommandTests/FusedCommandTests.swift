// `embed` and `backward` with segments, normalisation and dropout: against PyTorch's arrays, which
// scripts/reference/make_layer_fixtures.py wrote for the layer.

import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct FusedCommandTests {
  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let vocabulary: Int
    let norm: String
    let epsilon: Double
    let scale: Double
    let ids: String
    let segmentIDs: String?
    let tokens: String
    let positions: String
    let segments: String?
    let gamma: String?
    let beta: String?
    let weights: String
    let expected: String
    let tokenGradient: String
    let positionGradient: String
    let segmentGradient: String?
    let gammaGradient: String?
    let betaGradient: String?
    var testDescription: String { name }
  }

  private static let fixtures = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "EmbedKernelTests/Fixtures/layers")

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// The cases that have a part of the fused layer.
  static func cases() throws -> [Case] {
    struct File: Decodable { let cases: [Case] }
    let data = try Data(contentsOf: fixtures.appending(path: "cases.json"))
    return try JSONDecoder().decode(File.self, from: data).cases.filter { $0.norm != "none" }
  }

  private func fixture(_ name: String) -> String {
    Self.fixtures.appending(path: name).path
  }

  /// Every element within `4e-6` of the largest, as the layer's own test has it.
  private func expectClose(_ file: String, _ name: String, _ factor: Float = 1) throws {
    let (actual, expected) = (
      try floats(folder.path(file)), try floats(fixture(name))
    )
    #expect(actual.elements.count == expected.elements.count)
    let largest = expected.elements.map { abs($0) }.max() ?? 0
    for (a, b) in zip(actual.elements, expected.elements) {
      #expect(abs(a - factor * b) <= 4e-6 * factor * max(1, largest), "\(file)")
    }
  }

  /// The forward pass's options of a case.
  private func options(_ c: Case) -> String {
    var words = "--scale \(c.scale) --normalize \(c.norm) --epsilon \(c.epsilon)"
    for (option, name) in [
      ("segment-ids", c.segmentIDs), ("segment-table", c.segments), ("gamma", c.gamma),
      ("beta", c.beta), ("token-table", c.tokens), ("position-table", c.positions),
    ] {
      if let name { words += " --\(option) \(fixture(name))" }
    }
    return "--token-ids \(fixture(c.ids)) " + words
  }

  @Test(arguments: try cases()) func embedIsPyTorchs(_ c: Case) throws {
    let run = try folder.run("embed \(options(c)) --output out.npy")
    try #require(run.code == 0, "\(run.errors)")
    try expectClose("out.npy", c.expected)
    let narrow = try folder.run("embed \(options(c)) --output-type float16 --output half.npy")
    try #require(narrow.code == 0, "\(narrow.errors)")
    let full = try floats(folder.path("out.npy")).elements
    let half = try elements(folder.path("half.npy"), as: Half.self).elements
    #expect(half == full.map { Half($0) })
  }

  @Test(arguments: try cases()) func backwardIsPyTorchs(_ c: Case) throws {
    var outputs = "--token-gradient t.npy --position-gradient p.npy --gamma-gradient g.npy"
    if c.segments != nil { outputs += " --segment-gradient s.npy" }
    if c.beta != nil { outputs += " --beta-gradient b.npy" }
    let run = try folder.run(
      "backward \(options(c)) --output-gradient \(fixture(c.weights)) --gradient-scale 2 \(outputs)"
    )
    try #require(run.code == 0, "\(run.errors)")
    try expectClose("t.npy", c.tokenGradient, 2)
    try expectClose("p.npy", c.positionGradient, 2)
    try expectClose("g.npy", try #require(c.gammaGradient), 2)
    if let name = c.segmentGradient { try expectClose("s.npy", name, 2) }
    if let name = c.betaGradient { try expectClose("b.npy", name, 2) }
  }

  @Test func dropoutScalesWhatIsLeft() throws {
    let (rows, dim) = (400, 16)
    _ = try folder.array("ids.npy", (0..<Int32(rows)).map { $0 }, [1, rows])
    _ = try folder.array("ones.npy", [Float](repeating: 1, count: rows * dim), [rows, dim])
    func embed(_ options: String) throws -> [Float] {
      let run = try folder.run(
        "embed --token-ids ids.npy --token-table ones.npy \(options) --output out.npy")
      try #require(run.code == 0, "\(run.errors)")
      return try floats(folder.path("out.npy")).elements
    }
    let first = try embed("--dropout 0.25 --dropout-seed 5 --training-step 3")
    #expect(first.allSatisfy { $0 == 0 || $0 == 1 / 0.75 })
    let share = Double(first.count { $0 == 0 }) / Double(first.count)
    // Five standard deviations of 6,400 draws.
    #expect(abs(share - 0.25) < 5 * (0.25 * 0.75 / 6_400).squareRoot())
    #expect(try embed("--dropout 0.25 --dropout-seed 5 --training-step 3") == first)
    #expect(try embed("--dropout 0.25 --dropout-seed 5 --training-step 4") != first)
    #expect(try embed("--dropout 0.25 --dropout-seed 6 --training-step 3") != first)
    #expect(try embed("--dropout 0").allSatisfy { $0 == 1 })
    // The gradient meets the same mask.
    _ = try folder.array("g.npy", [Float](repeating: 1, count: rows * dim), [1, rows, dim])
    let back = try folder.run(
      "backward --token-ids ids.npy --token-table ones.npy --output-gradient g.npy --dropout 0.25 "
        + "--dropout-seed 5 --training-step 3 --token-gradient t.npy")
    try #require(back.code == 0, "\(back.errors)")
    #expect(try floats(folder.path("t.npy")).elements == first)
  }

  @Test(arguments: [
    ("embed --gamma one.npy", 2, "--gamma needs --normalize"),
    ("embed --normalize layer --gamma two.npy", 1, "two.npy': expected shape [4], found [2]"),
    ("embed --segment-ids ids.npy", 2, "--segment-ids needs --segment-table"),
    ("embed --segment-table wide.npy", 1, "expected rows of 4"),
    ("embed --segment-table table.npy --segment-ids far.npy", 1, "far.npy': segment"),
    ("embed --dropout 1", 1, "dropout rate is 1.0"),
    ("embed --dropout-seed 3", 2, "--dropout-seed needs --dropout"),
    ("embed --normalize batch", 2, "'batch' is none of layer, rms"),
    (
      "backward --output-gradient g.npy --gamma-gradient o.npy --segment-table table.npy", 2,
      "--gamma-gradient needs --normalize"
    ),
    (
      "backward --output-gradient g.npy --normalize rms --position-gradient o.npy", 2,
      "--position-gradient needs --position-table"
    ),
    (
      "backward --output-gradient g.npy --token-gradient o.npy", 2,
      "--token-table is for the fused layer"
    ),
    (
      "backward --output-gradient g.npy --normalize rms --vocabulary 3 --token-gradient o.npy", 2,
      "--vocabulary does not fit here"
    ),
  ])
  func faults(_ words: String, _ code: Int32, _ message: String) throws {
    _ = try folder.array("ids.npy", [0, 1, 2] as [Int32], [1, 3])
    _ = try folder.array("far.npy", [0, 1, 3] as [Int32], [1, 3])
    _ = try folder.array("table.npy", [Float](repeating: 1, count: 12), [3, 4])
    _ = try folder.array("wide.npy", [Float](repeating: 1, count: 10), [2, 5])
    _ = try folder.array("one.npy", [Float](repeating: 1, count: 4), [4])
    _ = try folder.array("two.npy", [Float](repeating: 1, count: 2), [2])
    _ = try folder.array("g.npy", [Float](repeating: 1, count: 12), [1, 3, 4])
    let run = try folder.run(
      "\(words) --token-ids ids.npy --token-table table.npy"
        + (words.hasPrefix("embed") ? " --output o.npy" : ""))
    #expect(run.code == code)
    #expect(run.errors.contains(message), "\(run.errors)")
    #expect(try !folder.contents.contains("o.npy"))
  }
}
