// `embed` and `bag` from tables that stay in their file: the bytes of tables in memory, within a limit.

import EmbedFiles
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct ResidentTests {
  private static let rows = 2_000
  private static let dim = 256

  /// A table of two MiB in each kind of file.
  private func files(_ folder: TemporaryFolder) throws -> [String] {
    let values = (0..<Self.rows * Self.dim).map { Float($0 % 1_013) / 64 }
    let path = folder.path("model.safetensors")
    var writer = try SafetensorsWriter(
      path, tensors: [SafetensorsTensor("wte.weight", .float32, shape: [Self.rows, Self.dim])])
    try writer.write("wte.weight", values.span)
    try writer.commit()
    let halves = folder.path("halves.gguf")
    let result = try embedkernel(
      ["convert", path, halves, "--type", "float16"])
    try #require(result.code == 0, "\(result.errors)")
    return [path, halves, try folder.array("table.npy", values, [Self.rows, Self.dim])]
  }

  private func output(_ arguments: [String], _ folder: TemporaryFolder) throws -> [Float] {
    let path = folder.path("out.npy")
    let result = try embedkernel(arguments + ["--output", path])
    try #require(result.code == 0, "\(result.errors)")
    return try floats(path).elements
  }

  @Test func theOutputIsThatFromMemory() throws {
    let folder = try TemporaryFolder()
    let ids = try folder.array(
      "ids.npy", (0..<3_000).map { Int64($0 * 7_919 % Self.rows) }, [60, 50])
    for table in try files(folder) {
      for command in [
        ["embed"], ["bag", "--mode", "sum"], ["embed", "--positions", "sinusoidal"],
        ["embed", "--padding-id", "3"],
      ] {
        let arguments = command + ["--token-ids", ids, "--token-table", table]
        let expected = try output(arguments, folder)
        #expect(try output(arguments + ["--resident", "1048576"], folder) == expected)
      }
    }
  }

  @Test func whatCannotStayInItsFileIsRefused() throws {
    let folder = try TemporaryFolder()
    let ids = try folder.array("ids.npy", [0 as Int64, 1], [1, 2])
    let table = try files(folder)[0]
    let embed = ["embed", "--token-ids", ids, "--resident", "1048576", "--token-table"]
    for (arguments, part) in [
      (embed + [table, "--normalize", "layer"], "--resident"),
      (embed + [InspectTests.fixtures + "/arrays/table.npz"], "mapped"),
      (["embed", "--token-ids", ids, "--token-table", table, "--resident", "7"], "--resident"),
    ] {
      let result = try embedkernel(arguments)
      #expect(result.code != 0)
      #expect(result.errors.contains(part), "\(result.errors)")
    }
  }
}
