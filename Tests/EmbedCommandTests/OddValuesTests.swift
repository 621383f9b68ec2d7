// Values that nobody means end a command with a message, and are drawn as far as they can be: no trap,
// no number without an end. scripts/sweep-options does the same with more values and all pairs.

import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct OddValuesTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func drawn(_ words: [String]) throws -> String {
    let path = folder.path("drawing.svg")
    let run = try embedkernel(["plot"] + words + ["--output", path])
    try #require(run.code == 0, "\(run.errors)")
    let svg = try String(contentsOfFile: path, encoding: .utf8)
    #expect(isWellFormed(svg) && !holdsNoNumber(svg))
    return svg
  }

  @Test(
    arguments: [
      (1e19, [">6e18</text>"]), (-3e38, [">\u{2212}2e38</text>"]), (1e-30, [">4e-31</text>"]),
      (.infinity, [">\u{221E}</text>"]), (-.infinity, [">\u{2212}\u{221E}</text>"]),
      (.nan, [">no number</text>"]),
    ] as [(Float, [String])])
  func weightsOfAnySizeAreDrawn(_ weight: Float, _ labels: [String]) throws {
    var weights = [Float](repeating: 0, count: 32)
    weights[3] = weight
    let path = try folder.array("weights.npy", weights, [32, 1])
    let svg = try drawn(["t5", "--heads", "1", "--context", "12", "--weights", path])
    for label in labels { #expect(svg.contains(label), "\(label)") }
  }

  @Test func bothEndsOfFloatAndAllThatIsNotFiniteAreDrawn() throws {
    let values: [Float] = [
      .greatestFiniteMagnitude, -.greatestFiniteMagnitude, .infinity, -.infinity, .nan, 0,
    ]
    let weights = values + [Float](repeating: 1, count: 26)
    let path = try folder.array("weights.npy", weights, [32, 1])
    let svg = try drawn(
      ["t5", "--heads", "1", "--context", "12", "--direction", "bidirectional", "--weights", path])
    for label in ["\u{221E}", "\u{2212}\u{221E}", "no number", "2e38", "\u{2212}2e38"] {
      #expect(svg.contains(">\(label)</text>"), "\(label)")
    }
  }

  /// Angles past float32 have no drawing: they are refused by name, without a file.
  @Test func anglesThatNoFloatHoldsAreRefused() throws {
    let path = folder.path("refused.svg")
    let run = try embedkernel(["plot", "rotary", "--base", "1e-300", "--output", path])
    #expect(run.code == 1 && run.errors.contains("angle of a pair is 2.02"), "\(run.errors)")
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test(arguments: ["1e-20", "1e300", "1"])
  func anglesOfAnySizeAreDrawn(_ base: String) throws {
    for plane in ["angle", "cosine", "sine"] {
      _ = try drawn(["rotary", "--base", base, "--plane", plane, "--context", "20"])
    }
  }

  /// An address space of a few gigabytes, as a batch system allots it.
  @Test func memoryThatIsNotThereIsSaid() throws {
    for (line, message) in [
      ("positions t5 --heads 4096 --context 16384 --output o.npy", "no memory for a buffer of"),
      ("positions sinusoidal --context 16777216 --dim 1048576 --output o.npy", "no memory"),
      ("positions learned --context 16777216 --dim 1048576 --output o.npy", "no memory"),
    ] {
      let run = try embedkernel(line.split(separator: " ").map(String.init), in: folder)
      #expect(run.code == 1)
      #expect(run.errors.contains(message), "\(run.errors)")
    }
  }

  /// Every option of every subcommand, from their own help.
  @Test(arguments: ["9223372036854775807", "-1e308", "nan"])
  func noOptionTraps(_ value: String) throws {
    let text = try folder.file("text.txt", TrainTests.words)
    let queries = try folder.array("q.npy", [Float](repeating: 0.5, count: 24), [1, 2, 3, 4])
    let table = try folder.array("t.npy", [Float](repeating: 0.5, count: 24), [6, 4])
    let steps = try folder.array("s.npy", [Float](repeating: 0.5, count: 24), [1, 6, 4])
    let ids = try folder.array("i.npy", [0, 1, 2, 3, 4, 5] as [Int32], [2, 3])
    let gradient = try folder.array("g.npy", [Float](repeating: 0.5, count: 24), [2, 3, 4])
    let out = folder.path("out")
    let lines = [
      "embed --text \(text) --tokenizer byte --context 3 --batch 2 --dim 8",
      "embed --token-ids \(ids) --token-table \(table)",
      "backward --token-ids \(ids) --output-gradient \(gradient) --vocabulary 6 --token-gradient \(out)",
      "step --optimizer adamw --table \(table) --gradients \(steps) --output \(out)",
      "rotate --input \(queries) --output \(out)", "plot rotary --output \(out)",
      "plot t5 --output \(out)", "positions sinusoidal --output \(out)",
      "positions xpos --output \(out)", "positions deberta --queries \(queries) --output \(out)",
      "order", "demo --text \(text) --tokenizer byte",
    ]
    for line in lines {
      let words = line.split(separator: " ").map(String.init)
      let help = try embedkernel([words[0], "--help"]).lines
      let options = help.compactMap { line -> String? in
        guard line.hasPrefix("  --"), !line.hasPrefix("  --help") else { return nil }
        return line.dropFirst(4).split(separator: " ").first.map(String.init)
      }
      #expect(options.count > 3)
      // Given twice they would be refused before they are looked at.
      for option in options where !words.contains("--" + option) {
        let run = try embedkernel(words + ["--\(option)=\(value)"], in: folder)
        #expect((0...2).contains(run.code))
        #expect(run.code == 0 || !run.errors.isEmpty, "\(line) --\(option) \(value)")
      }
    }
  }
}
