// `bag`: pooled rows of tables of every form, against plain loops.

import EmbedFiles
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct BagTests {
  private let dim = 64
  private let table: [Float]
  private let ids: [Int64]
  /// Empty ones at the start, between and at the end.
  private let offsets: [Int64] = [0, 0, 3, 4, 4, 9, 12]
  private let weights: [Float]

  init() {
    var random = SeededGenerator(seed: 15)
    table = (0..<6 * 64).map { _ in Float.random(in: -1...1, using: &random) }
    ids = (0..<12).map { _ in Int64.random(in: 0..<6, using: &random) }
    weights = (0..<12).map { _ in Float.random(in: -2...2, using: &random) }
  }

  /// PyTorch's EmbeddingBag, a bag at a time.
  private func expected(
    _ table: [Float], _ mode: String, _ weights: [Float]? = nil, padding: Int64? = nil
  ) -> [Float] {
    (0..<offsets.count).flatMap { bag -> [Float] in
      let end = bag + 1 < offsets.count ? Int(offsets[bag + 1]) : ids.count
      let members = (Int(offsets[bag])..<end).filter { ids[$0] != padding }
      return (0..<dim).map { column in
        var sum: Float = 0
        var largest = -Float.infinity
        for j in members {
          let value = table[Int(ids[j]) * dim + column]
          sum += (weights?[j] ?? 1) * value
          largest = max(largest, value)
        }
        if members.isEmpty { return 0 }
        return mode == "max" ? largest : mode == "mean" ? sum / Float(members.count) : sum
      }
    }
  }

  @Test(arguments: ["sum", "mean", "max"])
  func poolsAsPlainLoops(mode: String) throws {
    let folder = try TemporaryFolder()
    _ = try folder.array("t.npy", table, [6, dim])
    _ = try folder.array("ids.npy", ids, [12])
    _ = try folder.array("off.npy", offsets, [7])
    _ = try folder.array("off32.npy", offsets.map { Int32($0) } + [12], [8])
    _ = try folder.array("len.npy", [0, 3, 1, 0, 5, 3, 0 as Int64], [7])
    let call = "bag --token-table t.npy --token-ids ids.npy --mode \(mode) --output out.npy"
    for form in [
      "--offsets off.npy", "--offsets off32.npy --last-offset included", "--lengths len.npy",
      "--offsets off.npy --threads 2 --backend simd", "--offsets off.npy --backend openblas",
    ] {
      let result = try folder.run("\(call) \(form)")
      try #require(result.code == 0, "\(result.errors)")
      let found = try floats(folder.path("out.npy"))
      #expect(found.shape == [7, dim])
      #expect(found.elements == expected(table, mode), "\(form)")
      #expect(result.errors.contains("[7, \(dim)]"))
    }
    _ = try folder.run("\(call) --offsets off.npy --padding-id \(ids[1])")
    let padded = try floats(folder.path("out.npy")).elements
    #expect(padded == expected(table, mode, padding: ids[1]))
  }

  @Test func takesWeightsAndRectangles() throws {
    let folder = try TemporaryFolder()
    _ = try folder.array("t.npy", table, [6, dim])
    _ = try folder.array("ids.npy", ids, [12])
    _ = try folder.array("box.npy", ids, [4, 3])
    _ = try folder.array("off.npy", offsets, [7])
    _ = try folder.array("w.npy", weights, [12])
    let call = "bag --token-table t.npy --output out.npy"
    let sum = try folder.run(
      "\(call) --token-ids ids.npy --offsets off.npy --weights w.npy --mode sum")
    try #require(sum.code == 0, "\(sum.errors)")
    #expect(try floats(folder.path("out.npy")).elements == expected(table, "sum", weights))
    let box = try folder.run("\(call) --token-ids box.npy --mode max --output-type bfloat16")
    try #require(box.code == 0, "\(box.errors)")
    let found: (shape: [Int], elements: [BFloat16]) = try elements(folder.path("out.npy"))
    #expect(found.shape == [4, dim])
    let first = (0..<dim).map { column in
      BFloat16((0..<3).map { table[Int(ids[$0]) * dim + column] }.max() ?? 0)
    }
    #expect(Array(found.elements[..<dim]) == first)

    let cases: [(String, String)] = [
      ("--token-ids ids.npy --mode sum", "--offsets or --lengths is needed"),
      ("--token-ids box.npy --offsets off.npy --mode sum", "shape [4, 3]"),
      ("--token-ids ids.npy --offsets off.npy --weights w.npy --mode mean", "is for --mode sum"),
      ("--token-ids ids.npy --offsets off.npy --weights off.npy --mode sum", "expected shape [12]"),
      (
        "--token-ids ids.npy --offsets off.npy --mode average",
        "'average' is none of sum, mean, max"
      ),
      ("--token-ids ids.npy --offsets off.npy", "--mode sum|mean|max is missing"),
      ("--token-ids ids.npy --offsets ids.npy --mode sum", "ids.npy': "),
    ]
    for (words, told) in cases {
      let result = try folder.run("bag --token-table t.npy --output none.npy \(words)")
      #expect(result.code != 0 && result.errors.contains(told), "\(words): \(result.errors)")
    }
    #expect(!FileManager.default.fileExists(atPath: folder.path("none.npy")))
    _ = try folder.array("bad.npy", ids.map { $0 == ids[7] ? 6 : $0 }, [12])
    let bad = try folder.run(
      "bag --token-table t.npy --output none.npy --token-ids bad.npy --offsets off.npy --mode sum")
    #expect(bad.code == 1 && bad.errors.contains("bad.npy'") && bad.errors.contains("6"))
  }

  /// Whatever the rows' form: the same as from the table that they decode to.
  @Test(arguments: ["int8", "int4", "q8_0", "fp8", "fp8_block32", "fbgemm8", "q4_0", "bf16"])
  func poolsRowsOfEveryForm(form: String) throws {
    let folder = try TemporaryFolder()
    _ = try folder.array("t.npy", table, [6, dim])
    _ = try folder.array("ids.npy", ids, [12])
    _ = try folder.array("off.npy", offsets, [7])
    let name = form.hasPrefix("q") ? "r.gguf" : "r.safetensors"
    let made = try embedkernel(
      [
        "convert", folder.path("t.npy"), folder.path(name), "--rows", form, "--tensor-name",
        "wte.weight",
      ])
    try #require(made.code == 0, "\(made.errors)")
    let back = try embedkernel(
      [
        "convert", folder.path(name), folder.path("back.npy"), "--rows", "f32", "--tensors",
        "wte.weight",
      ])
    try #require(back.code == 0, "\(back.errors)")
    let decoded = try floats(folder.path("back.npy"))
    #expect(decoded.shape == [6, dim])
    let largest = zip(decoded.elements, table).map { abs($0 - $1) }.max() ?? 1
    #expect(largest > 0 && largest < 0.15)
    #expect(made.errors.contains("error max \(largest), "), "\(made.errors)")
    for mode in ["sum", "mean", "max"] {
      let result = try embedkernel(
        [
          "bag", "--token-table", folder.path(name), "--token-ids", folder.path("ids.npy"),
          "--offsets", folder.path("off.npy"), "--mode", mode, "--output", folder.path("out.npy"),
        ])
      try #require(result.code == 0, "\(result.errors)")
      #expect(try floats(folder.path("out.npy")).elements == expected(decoded.elements, mode))
    }
  }

  @Test func showsWhatItComputes() throws {
    let folder = try TemporaryFolder()
    _ = try folder.array("t.npy", table, [6, dim])
    _ = try folder.array("ids.npy", ids, [12])
    _ = try folder.array("off.npy", offsets, [7])
    let result = try folder.run(
      "bag --token-table t.npy --token-ids ids.npy --offsets off.npy --mode sum")
    #expect(result.code == 0)
    #expect(result.output.contains("First values") && result.output.contains("A call takes"))
  }
}
