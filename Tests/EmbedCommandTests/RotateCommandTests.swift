// `rotate` by several coordinates a token, with an offset for each sequence, and in 16-bit elements.

import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct RotateCommandTests {
  private static let (batch, heads, context, dim) = (2, 3, 4, 24)
  private let folder: TemporaryFolder
  private let input: [Float]
  private let coordinates: [Int32]

  init() throws {
    folder = try TemporaryFolder()
    input = (0..<Self.batch * Self.heads * Self.context * Self.dim).map { Float($0 % 17) / 4 - 2 }
    coordinates = (0..<3 * Self.batch * Self.context).map { Int32(($0 * 5) % 13) }
    let shape = [Self.batch, Self.heads, Self.context, Self.dim]
    _ = try folder.array("q.npy", input, shape)
    _ = try folder.array("bf16.npy", input.map { BFloat16($0) }, shape)
    _ = try folder.array("f16.npy", input.map { Half($0) }, shape)
    _ = try folder.array("c3.npy", coordinates.map { Int64($0) }, [3, Self.batch, Self.context])
    _ = try folder.array(
      "c2.npy", Array(coordinates.prefix(16)), [2, Self.batch, Self.context])
    _ = try folder.array("offsets.npy", [7, 0] as [Int64], [2])
    _ = try folder.array("negative.npy", [3, -1] as [Int64], [2])
  }

  private var shape: RotaryShape {
    RotaryShape(
      batch: Self.batch, heads: Self.heads, context: Self.context, headDim: Self.dim)
  }

  /// Each pair by the coordinate that the formula of the help says, in Double.
  private func expected(
    _ coordinate: (_ pair: Int) -> Int, frequency: (_ pair: Int) -> Double,
    pair: (Int) -> (Int, Int), _ values: [Int32]
  ) -> [Float] {
    var result = input
    let tokens = Self.batch * Self.context
    for b in 0..<Self.batch {
      for h in 0..<Self.heads {
        for t in 0..<Self.context {
          let start = ((b * Self.heads + h) * Self.context + t) * Self.dim
          for p in 0..<Self.dim / 2 {
            let position = values[coordinate(p) * tokens + b * Self.context + t]
            let angle = Double(position) * frequency(p)
            let (i, j) = pair(p)
            let (x, y) = (Double(input[start + i]), Double(input[start + j]))
            result[start + i] = Float(x * cos(angle) - y * sin(angle))
            result[start + j] = Float(y * cos(angle) + x * sin(angle))
          }
        }
      }
    }
    return result
  }

  static let forms = ["sections", "interleaved-sections", "axial", "axial-blocks"]

  @Test(arguments: forms) func coordinatesTurnTheirPairs(_ form: String) throws {
    let isAxial = form.hasPrefix("axial")
    let options =
      isAxial ? "--axis-count 2 --coordinates c2.npy" : "--sections 4,5,3 --coordinates c3.npy"
    let run = try folder.run(
      "rotate --input q.npy --base 100 --axes \(form) \(options) --output out.npy")
    try #require(run.code == 0, "\(run.errors)")
    let actual = try floats(folder.path("out.npy"))
    #expect(actual.shape == [Self.batch, Self.heads, Self.context, Self.dim])
    func plain(_ p: Int, _ dim: Int) -> Double { pow(100, -2 * Double(p) / Double(dim)) }
    let wanted: [Float] =
      switch form {
      case "sections":
        expected(
          { $0 < 4 ? 0 : $0 < 9 ? 1 : 2 }, frequency: { plain($0, 24) },
          pair: { ($0, $0 + 12) }, coordinates)
      case "interleaved-sections":
        expected(
          { $0 % 3 != 0 && $0 < 3 * [4, 5, 3][$0 % 3] ? $0 % 3 : 0 },
          frequency: { plain($0, 24) }, pair: { ($0, $0 + 12) }, coordinates)
      case "axial":
        expected({ $0 / 6 }, frequency: { plain($0 % 6, 12) }, pair: { ($0, $0 + 12) }, coordinates)
      default:
        expected(
          { $0 / 6 }, frequency: { plain($0 % 6, 12) },
          pair: { ($0 / 6 * 12 + $0 % 6, $0 / 6 * 12 + $0 % 6 + 6) }, coordinates)
      }
    for i in wanted.indices { #expect(abs(actual.elements[i] - wanted[i]) < 3e-6, "\(form) \(i)") }
  }

  @Test func twoByteElementsAreRoundedOnce() throws {
    let (embedding, place) = (try RotaryEmbedding(headDim: Self.dim), PositionIDs.offsets([7, 0]))
    for (file, direction) in [
      ("bf16.npy", "forward"), ("f16.npy", "backward"), ("q.npy", "forward"),
    ] {
      let run = try folder.run(
        "rotate --input \(file) --position-offsets offsets.npy --direction \(direction) "
          + "--output out.npy")
      try #require(run.code == 0, "\(run.errors)")
      // The inputs are numbers of every type, so that the floats' rotation is the one to round.
      var rotated = input
      var span = rotated.mutableSpan
      try embedding.rotate(
        inPlace: &span, shape: shape, at: place, direction == "forward" ? .forward : .backward)
      switch file {
      case "bf16.npy":
        let actual = try elements(folder.path("out.npy"), as: BFloat16.self)
        #expect(actual.elements == rotated.map { BFloat16($0) })
      case "f16.npy":
        let actual = try elements(folder.path("out.npy"), as: Half.self)
        #expect(actual.elements == rotated.map { Half($0) })
      default: #expect(try floats(folder.path("out.npy")).elements == rotated)
      }
    }
  }

  @Test(arguments: [
    ("--coordinates c3.npy", 2, "--coordinates needs --axes"),
    ("--coordinates c2.npy --axes sections --sections 4,5,3", 1, "expected shape [3, 2, 4]"),
    ("--coordinates c3.npy --axes sections --sections 4,5,4", 1, "sum of the sections is 13"),
    ("--coordinates c3.npy --axes sections", 2, "--sections is needed"),
    ("--axes axial --axis-count 5", 1, "a multiple of 10 with 5 axes"),
    ("--axes axial --sections 4,5,3", 2, "--sections is not for --axes axial"),
    ("--axes sections --sections 4,x", 2, "'x' is not an integer"),
    ("--sections 4,5,3", 2, "--sections needs --axes"),
    (
      "--coordinates c3.npy --axes sections --sections 4,5,3 --position-offset 2", 2,
      "--position-offset and --coordinates exclude each other"
    ),
    ("--position-offsets negative.npy", 1, "negative.npy': position -1"),
    ("--position-offsets offsets.npy --position-offset 3", 2, "exclude each other"),
  ])
  func faults(_ options: String, _ code: Int32, _ message: String) throws {
    let run = try folder.run("rotate --input q.npy \(options) --output o.npy")
    #expect(run.code == code)
    #expect(run.errors.contains(message), "\(run.errors)")
    #expect(try !folder.contents.contains("o.npy"))
  }
}
