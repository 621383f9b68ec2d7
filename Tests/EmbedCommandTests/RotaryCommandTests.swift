// `positions`, `rotate` and `plot` with rotary positions, as a shell sees them.

import EmbedKernel
import TestSupport
import Testing

@Suite struct RotaryCommandTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func floats(_ name: String) throws -> (shape: [Int], values: [Float]) {
    let array = try NumPyArray<Float>(contentsOf: folder.path(name))
    return (array.shape, unsafe array.withUnsafeBufferPointer { unsafe Array($0) })
  }

  @Test func positionsWritesAnglesCosinesAndSines() throws {
    let run = try embedkernel([
      "positions", "rotary", "--context", "3", "--head-dim", "4", "--position-offset", "1",
      "--scaling", #"{"type": "linear", "factor": 2}"#, "--output", folder.path("out.npy"),
    ])
    #expect(run.code == 0, "\(run.errors)")
    let (shape, values) = try floats("out.npy")
    #expect(shape == [3, 3, 2])
    #expect(Array(values[0..<6]) == [0.5, 0.005, 1, 0.01, 1.5, 0.015])
    let rows = try RotaryEmbedding(headDim: 4, scaling: LinearScaling(factor: 2))
      .rows(first: 1, count: 3)
    #expect(Array(values[6..<12]) == rows.cosines)
    #expect(Array(values[12..<18]) == rows.sines)
  }

  @Test func rotateIsTheLibrarysRotation() throws {
    let x = (0..<2 * 3 * 4 * 8).map { Float($0 % 13) - 6 }
    let input = try folder.array("q.npy", x, [2, 4, 3, 8])
    _ = try folder.array("ids.npy", [5, 0, 9, 1, 2, 3, 7, 7] as [Int64], [2, 4])
    let run = try embedkernel([
      "rotate", "--input", input, "--output", folder.path("out.npy"), "--order", "context-first",
      "--layout", "interleaved", "--base", "500", "--position-ids", folder.path("ids.npy"),
    ])
    #expect(run.code == 0, "\(run.errors)")
    var expected = x
    var span = expected.mutableSpan
    try RotaryEmbedding(headDim: 8, base: 500, layout: .interleaved).rotate(
      inPlace: &span,
      shape: RotaryShape(batch: 2, heads: 3, context: 4, headDim: 8, order: .contextFirst),
      at: .explicit([5, 0, 9, 1, 2, 3, 7, 7]))
    let (shape, values) = try floats("out.npy")
    #expect(shape == [2, 4, 3, 8])
    #expect(values == expected)
  }

  @Test func plotDrawsEveryCell() throws {
    let run = try embedkernel([
      "plot", "rotary", "--context", "16", "--head-dim", "12", "--plane", "sine", "--output",
      folder.path("out.svg"),
    ])
    #expect(run.code == 0, "\(run.errors)")
    let svg = try TextFile.read(folder.path("out.svg"))
    #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n"))
    // Cells of one colour that are side by side are one stretch `h`.
    let cells = svg.matches(of: /M\d+ \d+h(\d+)v1H\d+z/).reduce(0) { $0 + (Int($1.1) ?? 0) }
    #expect(cells == 16 * 6)
    for label in ["rotary, sine", ">position<", ">pair<", ">sine<", "16 positions × 6 pairs"] {
      #expect(svg.contains(label))
    }
    #expect(svg.contains("prefers-color-scheme: dark"))
  }

  @Test func absoluteSchemes() throws {
    for arguments in [
      ["sinusoidal", "--sinusoid-layout", "concatenated", "--position-offset", "3"], ["learned"],
    ] {
      let run = try embedkernel(
        ["positions"] + arguments
          + ["--context", "5", "--dim", "8", "--output", folder.path("rows.npy")])
      #expect(run.code == 0, "\(run.errors)")
      let (shape, values) = try floats("rows.npy")
      #expect(shape == [5, 8])
      let table =
        arguments.count == 1
        ? try EmbeddingTable<Float>(rows: 5, dim: 8, .normal(sigma: 0.02), seed: 0)
        : try AbsolutePositions.sinusoids(rows: 5, dim: 8, layout: .concatenated, first: 3)
      #expect(values == (unsafe Array(table.unsafeBuffer)))
      let plot = try embedkernel(
        ["plot"] + arguments + ["--context", "5", "--dim", "8", "--output", folder.path("r.svg")])
      #expect(plot.code == 0, "\(plot.errors)")
      #expect(try TextFile.read(folder.path("r.svg")).contains(">element<"))
    }
  }

  /// A scale with values on one side of zero, masked cells and more rows than are drawn.
  @Test func plotNamesWhatItLeavesOut() throws {
    let run = try embedkernel([
      "plot", "alibi", "--context", "400", "--heads", "2", "--plane", "1", "--output",
      folder.path("out.svg"),
    ])
    #expect(run.code == 0, "\(run.errors)")
    let svg = try TextFile.read(folder.path("out.svg"))
    for label in [
      "alibi, head 1 of 2", "400 queries × 400 keys; one query in 3 is drawn", "\u{2212}\u{221E}",
      "url(#hatch)", ">\u{2212}1.0<",
    ] {
      #expect(svg.contains(label), "\(label)")
    }
    #expect(svg.utf8.count < 500_000)
  }

  @Test(arguments: RotaryRole.allCases) func xpos(_ role: RotaryRole) throws {
    let x = (0..<2 * 4 * 8).map { Float($0 % 13) - 6 }
    let input = try folder.array("q.npy", x, [1, 2, 4, 8])
    let run = try embedkernel([
      "rotate", "--scheme", "xpos", "--role", role.rawValue, "--scale-base", "100", "--layout",
      "interleaved", "--input", input, "--output", folder.path("out.npy"),
    ])
    #expect(run.code == 0, "\(run.errors)")
    var expected = x
    var span = expected.mutableSpan
    try RotaryEmbedding(headDim: 8, layout: .interleaved, decay: XPosDecay(scaleBase: 100)).rotate(
      inPlace: &span, shape: RotaryShape(batch: 1, heads: 2, context: 4, headDim: 8), as: role)
    #expect(try floats("out.npy").values == expected)
  }

  @Test(
    arguments: [
      (["positions", "rotery", "--output", "x"], 2, "did you mean 'rotary'"),
      (["positions", "rotary"], 2, "--output OUT.npy is missing"),
      (["positions", "rotary", "--output", "x", "--scaling", "{"], 2, "not JSON"),
      (
        ["positions", "rotary", "--output", "x", "--scaling", #"{"type": "linear"}"#], 1,
        "rope_scaling.factor is missing"
      ),
      (["positions", "rotary", "--output", "x", "--head-dim", "7"], 1, "7"),
      (["positions", "rotary", "--output", "x", "--config", "/absent.json"], 1, "/absent.json"),
      (["rotate", "--input", "/absent.npy", "--output", "x"], 1, "/absent.npy"),
      (["rotate", "--output", "x"], 2, "--input Q.npy is missing"),
      (["positions", "rotary", "--output", "x", "--scale-base", "9"], 2, "is for scheme xpos"),
      (["positions", "learned", "--output", "x", "--position-offset", "1"], 2, "start at 0"),
      (["positions", "xpos", "--output", "x", "--context", "99999"], 1, "the maximum is"),
      (
        ["positions", "rotary", "--output", "x", "--position-offset", "2147483647"], 1,
        "the maximum is 2147483648"
      ),
      (["plot", "rotary", "--output", "x", "--plane", "3"], 2, "'3' is not one of 3 planes"),
    ] as [([String], Int32, String)])
  func faults(_ arguments: [String], _ code: Int32, _ message: String) throws {
    let run = try embedkernel(arguments)
    #expect(run.code == code)
    #expect(run.errors.contains(message), "\(run.errors)")
  }
}
