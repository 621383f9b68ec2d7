// `positions`, `rotate` and `plot` with rotary positions, as a shell sees them.

import EmbedKernel
import Testing

@Suite struct RotaryCommandTests {
  private let folder: Folder

  init() throws { folder = try Folder() }

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
    // 16 x 6 cells, 64 of the colour bar, the background and the frame.
    #expect(svg.split(separator: "<rect ").count - 1 == 16 * 6 + 64 + 2)
    for label in ["rotary, sine", ">position<", ">pair<"] { #expect(svg.contains(label)) }
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
      (["plot", "rotary", "--output", "x", "--plane", "3"], 2, "'3' is not one of 3 planes"),
    ] as [([String], Int32, String)])
  func faults(_ arguments: [String], _ code: Int32, _ message: String) throws {
    let run = try embedkernel(arguments)
    #expect(run.code == code)
    #expect(run.errors.contains(message), "\(run.errors)")
  }
}
