// `embed` on tables of every element type, into every element type, against plain loops: one product and
// one sum in Float, rounded once, leave nothing to tolerance.

import EmbedKernel
import TestSupport
import Testing

@Suite struct SixteenBitCommandTests {
  private static let (vocabulary, batch, context, dim, maximum) = (11, 3, 5, 7, 9)

  private let folder: TemporaryFolder
  private let ids: [Int]

  init() throws {
    folder = try TemporaryFolder()
    ids = (0..<Self.batch * Self.context).map { ($0 * 7 + 3) % Self.vocabulary }
    _ = try folder.array("ids.npy", ids.map { Int64($0) }, [Self.batch, Self.context])
  }

  /// Writes a table in a type, and gives its values as floats.
  private func table(_ name: String, _ rows: Int, _ type: String, stream: UInt64) throws -> [Float]
  {
    let drawn = try EmbeddingTable<Float>(
      rows: rows, dim: Self.dim, .normal(sigma: 1), seed: 7, stream: stream)
    let values = drawn.span.indices.map { drawn.span[$0] }
    let shape = [rows, Self.dim]
    switch type {
    case "bfloat16":
      let narrow = values.map { BFloat16($0) }
      _ = try folder.array(name, narrow, shape)
      return narrow.map(\.float)
    case "float16":
      let narrow = values.map { Half($0) }
      _ = try folder.array(name, narrow, shape)
      return narrow.map(\.float)
    default:
      _ = try folder.array(name, values, shape)
      return values
    }
  }

  static let types = ["float32", "bfloat16", "float16"]

  @Test(arguments: types, types)
  func everyPairOfTypes(_ tables: String, _ output: String) throws {
    let tokens = try table("tokens.npy", Self.vocabulary, tables, stream: 0)
    let positions = try table("positions.npy", Self.maximum, tables, stream: 1)
    _ = try folder.array("offsets.npy", [4, 0, 3] as [Int32], [Self.batch])
    let offsets = [4, 0, 3]
    for backend in ["auto", "openblas", "simd", "native"] {
      let run = try folder.run(
        "embed --token-ids ids.npy --token-table tokens.npy --position-table positions.npy "
          + "--position-offsets offsets.npy --scale 1.5 --padding-id 3 --output-type \(output) "
          + "--backend \(backend) --output out.npy")
      try #require(run.code == 0, "\(run.errors)")
      let expected = (0..<ids.count * Self.dim).map { i in
        let (token, d) = (i / Self.dim, i % Self.dim)
        let row: Float = ids[token] == 3 ? 0 : tokens[ids[token] * Self.dim + d]
        let place = offsets[token / Self.context] + token % Self.context
        return 1.5 * row + positions[place * Self.dim + d]
      }
      switch output {
      case "bfloat16":
        let actual = try elements(folder.path("out.npy"), as: BFloat16.self)
        #expect(actual.shape == [Self.batch, Self.context, Self.dim])
        #expect(actual.elements == expected.map { BFloat16($0) })
      case "float16":
        let actual = try elements(folder.path("out.npy"), as: Half.self)
        #expect(actual.elements == expected.map { Half($0) })
      default:
        #expect(try floats(folder.path("out.npy")).elements == expected)
      }
    }
  }

  /// Tables of two types are widened; a tensor of a model's file is a table as well.
  @Test func typesMayDifferAndFilesToo() throws {
    let tokens = try table("tokens.npy", Self.vocabulary, "bfloat16", stream: 0)
    let positions = try table("positions.npy", Self.maximum, "float16", stream: 1)
    let run = try folder.run(
      "convert tokens.npy --tensor-name wte.weight --output model.safetensors")
    try #require(run.code == 0, "\(run.errors)")
    let mixed = try folder.run(
      "embed --token-ids ids.npy --token-table model.safetensors:wte.weight "
        + "--position-table positions.npy --output out.npy")
    try #require(mixed.code == 0, "\(mixed.errors)")
    let expected = (0..<ids.count * Self.dim).map { i in
      let (token, d) = (i / Self.dim, i % Self.dim)
      return tokens[ids[token] * Self.dim + d] + positions[token % Self.context * Self.dim + d]
    }
    #expect(try floats(folder.path("out.npy")).elements == expected)
    let shown = try folder.run(
      "embed --token-ids ids.npy --token-table model.safetensors:wte.weight --output-type bfloat16")
    #expect(shown.code == 0)
    #expect(shown.output.contains("all gave the same bits"))
    #expect(shown.output.contains("bfloat16"))
  }

  @Test(arguments: [
    ("--position-table positions.npy --position-offsets long.npy", 1, "expected shape [3]"),
    ("--position-table positions.npy --position-offsets far.npy", 1, "far.npy': position 9"),
    ("--position-offsets far.npy", 2, "--position-offsets does not fit here"),
    (
      "--position-table positions.npy --position-offsets far.npy --position-offset 1", 2,
      "--position-offset and --position-offsets exclude each other"
    ),
    ("--output-type float64", 2, "'float64' is none of float32, bfloat16, float16"),
    ("--token-table model.safetensors:x", 1, "model.safetensors"),
    ("--padding-id 11", 1, "padding id is 11"),
  ])
  func faults(_ options: String, _ code: Int32, _ message: String) throws {
    _ = try table("tokens.npy", Self.vocabulary, "bfloat16", stream: 0)
    _ = try table("positions.npy", Self.maximum, "bfloat16", stream: 1)
    _ = try folder.array("long.npy", [0, 0, 0, 0] as [Int32], [4])
    _ = try folder.array("far.npy", [0, 5, 0] as [Int32], [3])
    let tableWords = options.contains("--token-table") ? "" : "--token-table tokens.npy "
    let run = try folder.run("embed --token-ids ids.npy \(tableWords)\(options) --output out.npy")
    #expect(run.code == code)
    #expect(run.errors.contains(message), "\(run.errors)")
    #expect(try !folder.contents.contains("out.npy"))
  }
}
