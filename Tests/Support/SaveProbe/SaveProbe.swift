// A process that saves a checkpoint again and again until it is killed.
//
//   SaveProbe PATH FIRST
//
// Save n, counting from FIRST, holds 200 rows of 4,096 floats all equal to n, and n in its texts.
// It prints a line when the first save is done.

import EmbedKernel
import Foundation

@main enum SaveProbe {
  static func main() throws {
    guard CommandLine.arguments.count == 3, let first = Int(CommandLine.arguments[2]) else {
      throw EmbedError.invalidSize(
        argument: "arguments", value: CommandLine.arguments.count - 1, expected: "2")
    }
    let table = try EmbeddingTable<Float>(rows: 200, dim: 4_096)
    let weights = try EmbeddingWeights(tokens: table)
    for save in first... {
      unsafe table.unsafeBuffer.update(repeating: Float(save))
      try weights.save(
        to: CommandLine.arguments[1], names: .llama, metadata: ["save": "\(save)"])
      // Not by `print`, which keeps what goes to a pipe.
      if save == first { try FileHandle.standardOutput.write(contentsOf: Data("saved\n".utf8)) }
    }
  }
}
