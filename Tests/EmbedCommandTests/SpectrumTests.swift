// `spectrum` on tables whose values are known, from both kinds of file.

import EmbedFactorizations
import EmbedKernel
import EmbedModels
import Foundation
import TestSupport
import Testing

@Suite struct SpectrumTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  @Test func valuesOfADiagonal() throws {
    let path = try folder.array("table.npy", [Float(0), 3, 0, 0, 0, -4], [2, 3])
    let result = try embedkernel(["spectrum", path])
    try #require(result.code == 0, "\(result.errors)")
    #expect(result.lines == ["index,value", "0,4.0", "1,3.0"])
  }

  @Test func ofATensorToFiles() throws {
    let layer = try InputEmbedding(vocabulary: 9, dim: 6, positions: .learned(maximum: 4), seed: 3)
    let path = folder.path("model.safetensors")
    try layer.save(to: path, names: .gpt2)
    let (csv, svg) = (folder.path("values.csv"), folder.path("similarity.svg"))
    let result = try embedkernel(["spectrum", path, "--output", csv, "--similarity", svg])
    try #require(result.code == 0, "\(result.errors)")
    #expect(result.output.isEmpty)
    let lines = try String(contentsOfFile: csv, encoding: .utf8).split(separator: "\n")
    let expected = try #require(layer.positions).singularValues()
    #expect(lines.dropFirst().map { Double($0.split(separator: ",")[1]) } == expected)
    #expect(try String(contentsOfFile: svg, encoding: .utf8).contains("4 rows of 6 floats"))

    // A picture with a word about the values, not all of them.
    let summary = try embedkernel(["spectrum", path, "--similarity", svg])
    #expect(summary.lines.count == 1)
    #expect(summary.output.hasPrefix("4 singular values of [4, 6], from "), "\(summary.output)")

    let tokens = try embedkernel(["spectrum", path, "--tensor", "wte.weight"])
    #expect(tokens.lines.count == 7)
    let missing = try embedkernel(["spectrum", path, "--tensor", "wxe.weight"])
    #expect(missing.code == 1)
    #expect(missing.errors.contains("wxe.weight") && missing.errors.contains("wpe.weight"))
  }

  @Test func whatIsWrongIsNamed() throws {
    let path = try folder.array("table.npy", [Float(0), .nan], [1, 2])
    let result = try embedkernel(["spectrum", path])
    #expect(result.code == 1)
    #expect(result.errors.contains("table.npy") && result.errors.contains("element [0, 1]"))
    #expect(try embedkernel(["spectrum", path, "--tensor", "wpe.weight"]).code == 2)
    #expect(try embedkernel(["spectrum"]).code == 2)
  }
}
