// `embed` on files of NumPy, against plain loops: every option, ids of both widths, every backend.
// One product and one sum an element leave nothing to round differently, so results are equal.

import EmbedKernel
import TestSupport
import Testing

@Suite struct EmbedArraysTests {
  private static let (vocabulary, batch, context, dim, maximum) = (11, 3, 6, 5, 9)

  private let folder: TemporaryFolder
  private let tokens: [Float]
  private let positions: [Float]
  private let ids: [Int]

  init() throws {
    folder = try TemporaryFolder()
    func drawn(_ rows: Int, _ stream: UInt64) throws -> [Float] {
      let table = try EmbeddingTable<Float>(
        rows: rows, dim: Self.dim, .normal(sigma: 1), seed: 7, stream: stream)
      return (0..<rows * Self.dim).map { table.span[$0] }
    }
    tokens = try drawn(Self.vocabulary, 0)
    positions = try drawn(Self.maximum, 1)
    ids = (0..<Self.batch * Self.context).map { ($0 * 7 + 3) % Self.vocabulary }
    _ = try folder.array("tokens.npy", tokens, [Self.vocabulary, Self.dim])
    _ = try folder.array("positions.npy", positions, [Self.maximum, Self.dim])
    _ = try folder.array("ids.npy", ids.map { Int64($0) }, [Self.batch, Self.context])
    _ = try folder.array("ids32.npy", ids.map { Int32($0) }, [Self.batch, Self.context])
  }

  /// Runs `embed` and gives what it wrote.
  private func embed(_ arguments: String, ids: String = "ids.npy") throws -> [Float] {
    let out = folder.path("out.npy")
    let words = arguments.split(separator: " ").map { word in
      word.hasSuffix(".npy") ? folder.path(String(word)) : String(word)
    }
    let result = try embedkernel(
      ["embed", "--token-ids", folder.path(ids), "--token-table", folder.path("tokens.npy")]
        + ["--output", out] + words)
    try #require(result.code == 0, "\(result.errors)")
    #expect(result.output.isEmpty)
    #expect(result.errors.contains("[3, 6, 5]"))
    let (shape, elements) = try floats(out)
    #expect(shape == [Self.batch, Self.context, Self.dim])
    return elements
  }

  /// scale * token row + position row, by plain loops; nil stands for a row of zeros, or no row.
  private func expected(
    scale: Float = 1, token: (Int) -> Int?, position: (Int) -> Int?
  ) -> [Float] {
    (0..<ids.count).flatMap { i in
      (0..<Self.dim).map { d in
        let row = token(i).map { tokens[$0 * Self.dim + d] } ?? 0
        let sum = scale * row
        return position(i).map { sum + positions[$0 * Self.dim + d] } ?? sum
      }
    }
  }

  @Test(arguments: ["auto", "openblas", "simd", "native"], ["ids.npy", "ids32.npy"])
  func addsPositions(_ backend: String, _ idFile: String) throws {
    let choice = "--backend \(backend) --threads 2"
    #expect(
      try embed("--position-table positions.npy \(choice)", ids: idFile)
        == expected {
          ids[$0]
        } position: {
          $0 % Self.context
        })
    #expect(
      try embed("\(choice)", ids: idFile)
        == expected {
          ids[$0]
        } position: { _ in
          nil
        })
  }

  @Test(arguments: ["-2.5", "sqrt-dim"])
  func scales(_ scale: String) throws {
    let factor = Float(scale) ?? Float(Double(Self.dim).squareRoot())
    #expect(
      try embed("--position-table positions.npy --scale \(scale)")
        == expected(scale: factor) {
          ids[$0]
        } position: {
          $0 % Self.context
        })
  }

  @Test func offsetsPositions() throws {
    #expect(
      try embed("--position-table positions.npy --position-offset 3")
        == expected {
          ids[$0]
        } position: {
          $0 % Self.context + 3
        })
    #expect(
      try embed("--position-table positions.npy --position-offset 7 --position-overflow clamp")
        == expected {
          ids[$0]
        } position: {
          min($0 % Self.context + 7, Self.maximum - 1)
        })
  }

  @Test func takesPositionIDs() throws {
    let places = (0..<ids.count).map { ($0 * 5 + 2) % Self.maximum }
    _ = try folder.array("places.npy", places.map { Int64($0) }, [Self.batch, Self.context])
    #expect(
      try embed("--position-table positions.npy --position-ids places.npy")
        == expected {
          ids[$0]
        } position: {
          places[$0]
        })
    _ = try folder.array("row.npy", places[..<Self.context].map { Int32($0) }, [Self.context])
    #expect(
      try embed("--position-table positions.npy --position-ids row.npy")
        == expected {
          ids[$0]
        } position: {
          places[$0 % Self.context]
        })
  }

  @Test func restartsPositionsAtDocuments() throws {
    let ends = [0, 4, 5, 5, 10, 18]
    _ = try folder.array("ends.npy", ends.map { Int32($0) }, [ends.count])
    #expect(
      try embed("--position-table positions.npy --cumulative-lengths ends.npy")
        == expected {
          ids[$0]
        } position: { i in
          i - (ends.last { $0 <= i } ?? 0)
        })
  }

  @Test func countsPositionsUnderAMask() throws {
    let padding = [0, 2, 5]
    let mask = (0..<ids.count).map { $0 % Self.context >= padding[$0 / Self.context] ? 1 : 0 }
    let shape = [Self.batch, Self.context]
    _ = try folder.array("mask8.npy", mask.map { UInt8($0) }, shape)
    _ = try folder.array("mask64.npy", mask.map { Int64($0) }, shape)
    for file in ["mask8.npy", "mask64.npy"] {
      #expect(
        try embed("--position-table positions.npy --mask \(file)")
          == expected {
            ids[$0]
          } position: {
            max(0, $0 % Self.context - padding[$0 / Self.context])
          })
    }
  }

  @Test func takesPaddingAndUnknownIDs() throws {
    let padding = ids[0]
    #expect(
      try embed("--position-table positions.npy --padding-id \(padding)")
        == expected {
          ids[$0] == padding ? nil : ids[$0]
        } position: {
          $0 % Self.context
        })
    var strange = ids
    strange[4] = -2
    strange[9] = Self.vocabulary
    _ = try folder.array("strange.npy", strange.map { Int64($0) }, [Self.batch, Self.context])
    #expect(
      try embed("--unknown-ids clamp", ids: "strange.npy")
        == expected {
          min(max(strange[$0], 0), Self.vocabulary - 1)
        } position: { _ in
          nil
        })
    #expect(
      try embed("--unknown-ids zero-row --position-table positions.npy", ids: "strange.npy")
        == expected {
          (0..<Self.vocabulary).contains(strange[$0]) ? strange[$0] : nil
        } position: {
          $0 % Self.context
        })
  }

  @Test(arguments: SinusoidLayout.allCases)
  func addsSinusoids(_ layout: SinusoidLayout) throws {
    let rows = try AbsolutePositions.sinusoids(
      rows: Self.context + 2, dim: Self.dim, layout: layout, base: 100)
    let plain = expected {
      ids[$0]
    } position: { _ in
      nil
    }
    let result = try embed(
      "--positions sinusoidal --sinusoid-layout \(layout.rawValue) --sinusoid-base 100 "
        + "--position-offset 2")
    for i in plain.indices {
      let place = i / Self.dim % Self.context + 2
      #expect(result[i] == plain[i] + rows[place][i % Self.dim])
    }
  }

  @Test func embedsAnEmptyBatch() throws {
    let ids = try folder.array("none.npy", [] as [Int32], [0, 4])
    let out = folder.path("empty.npy")
    let result = try embedkernel([
      "embed", "--token-ids", ids, "--token-table", folder.path("tokens.npy"), "--output", out,
    ])
    #expect(result.code == 0)
    #expect(try floats(out).shape == [0, 4, Self.dim])
  }

  @Test func reportsWithoutAnOutput() throws {
    let result = try embedkernel([
      "embed", "--token-ids", folder.path("ids.npy"), "--token-table", folder.path("tokens.npy"),
      "--position-table", folder.path("positions.npy"),
    ])
    #expect(result.code == 0)
    #expect(result.errors.isEmpty)
    for text in ["[3, 6]", "[11, 5]", "[9, 5]", "[3, 6, 5]", "int64", "all gave the same bits"] {
      #expect(result.output.contains(text))
    }
    for backend in ["openblas", "simd", "native", "auto"] {
      #expect(result.lines.contains { $0.hasPrefix("  \(backend) ") && $0.hasSuffix("GB/s") })
    }
  }
}
