// `order`: who is blind to it, and who is not.

import EmbedKernel
import EmbedTraining
import Foundation
import TestSupport
import Testing

@Suite struct OrderTests {
  /// (positions, direction, parameters) and the difference, of each line.
  private func table(_ words: [String]) throws -> [(kind: [String], difference: Double)] {
    let result = try embedkernel(["order"] + words)
    try #require(result.code == 0, "\(result.errors)")
    #expect(result.lines.first == "positions,direction,parameters,difference")
    #expect(result.errors.contains("below 1e-5 it is rounding"))
    return try result.lines.dropFirst().map { line in
      let cells = line.split(separator: ",").map(String.init)
      return (Array(cells.prefix(3)), try #require(Double(cells[3])))
    }
  }

  /// Rounding alone without positions and mask.
  @Test func drawnModels() throws {
    let found = try table([])
    #expect(found.count == 2 * PositionScheme.allCases.count)
    for (kind, difference) in found {
      let isBlind = kind[1] == "bidirectional" && kind[0] == "none"
      #expect(isBlind ? difference < 1e-5 : difference > 1e-4, "\(kind): \(difference)")
    }
  }

  @Test func aTrainedModelBesideADrawnOne() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("model.safetensors")
    let model = try GPT(
      GPTConfiguration(
        vocabulary: 256, context: 32, dim: 32, heads: 2, layers: 1, positions: .t5), seed: 4)
    let biases = try #require(model.parameters.last)
    biases.table.withMutableSpan { span in
      for i in span.indices { span[i] = Float(i % 5) }
    }
    try model.save(to: path)
    let found = try table(["--model", path, "--first", "a bc", "--second", "bc a"])
    #expect(found.map { $0.kind[2] } == ["drawn", "trained", "drawn", "trained"])
    #expect(found[0].kind == ["t5", "bidirectional", "drawn"])
    #expect(found[0].difference > 1e-4 && found[1].difference > 1e-2, "\(found)")
  }

  @Test func otherWordsAreRefused() throws {
    let result = try embedkernel(["order", "--first", "a b", "--second", "a c"])
    #expect(result.code == 2)
    #expect(result.errors.contains("not the same bytes"))
    #expect(try embedkernel(["order", "--model", "/nowhere.safetensors"]).code == 1)
  }
}
