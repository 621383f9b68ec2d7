// A process that saves a checkpoint again and again until it is killed.
//
//   SaveProbe PATH FIRST
//
// Save n, counting from FIRST, holds 200 rows of 4,096 floats all equal to n, and n in its texts.
// It prints a line when the first save is done.

import EmbedFiles
import Foundation

@main enum SaveProbe {
  static func main() throws {
    guard CommandLine.arguments.count == 3, let first = Int(CommandLine.arguments[2]) else {
      fatalError("SaveProbe PATH FIRST")
    }
    let table = SafetensorsTensor("model.embed_tokens.weight", .float32, shape: [200, 4_096])
    for save in first... {
      let rows = [Float](repeating: Float(save), count: 200 * 4_096)
      var writer = try SafetensorsWriter(
        CommandLine.arguments[1], tensors: [table], metadata: ["save": "\(save)"])
      try writer.write(table.name, rows.span)
      try writer.commit()
      // Not by `print`, which keeps what goes to a pipe.
      if save == first { try FileHandle.standardOutput.write(contentsOf: Data("saved\n".utf8)) }
    }
  }
}
