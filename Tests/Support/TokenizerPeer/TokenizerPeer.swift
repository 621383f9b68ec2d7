// The tokenizer's half of scripts/reference/compare_tiktoken.py. It answers lines on standard input,
// so that the script can take turns with it:
//
//     TEXT TARGET     encodes the file TEXT from memory, three times; writes the ids to TARGET as
//                     uint32; prints the ids' count and the fastest time in seconds, or what is wrong
//                     with the text
//
// Paths hold no tabs; fields are separated by one.

import EmbedData
import Foundation

@main
struct TokenizerPeer {
  static func main() {
    do {
      try run()
    } catch {
      FileHandle.standardError.write(Data("TokenizerPeer: \(error)\n".utf8))
      exit(1)
    }
  }

  private static func run() throws {
    let arguments = CommandLine.arguments.dropFirst()
    let clock = ContinuousClock()
    let start = clock.now
    let tokenizer: BytePairTokenizer
    switch (arguments.count, arguments.first) {
    case (2, _):
      tokenizer = try BytePairTokenizer(encoder: arguments[1], merges: arguments[2])
    case (1, .some(let path)):
      tokenizer = try BytePairTokenizer(vocabulary: path)
    default:
      FileHandle.standardError.write(
        Data("usage: TokenizerPeer ENCODER MERGES, or TokenizerPeer VOCABULARY\n".utf8))
      exit(2)
    }
    answer("\((clock.now - start) / .seconds(1))")
    var ids: [Int32] = []
    while let line = readLine() {
      let fields = line.split(separator: "\t").map(String.init)
      guard fields.count == 2 else {
        answer("expected a text and a target")
        continue
      }
      let text = [UInt8](try Data(contentsOf: URL(fileURLWithPath: fields[0])))
      var best = Duration.seconds(3600)
      do {
        for _ in 0..<3 {
          ids.removeAll(keepingCapacity: true)
          let time = try clock.measure {
            try tokenizer.encode(text.span, special: .ordinary, into: &ids)
          }
          best = min(best, time)
        }
      } catch let error as DataError {
        answer("error: \(error)")
        continue
      }
      let writer = try TokenFileWriter(path: fields[1], width: .uint32)
      try writer.append(ids.span)
      try writer.finish()
      answer("\(ids.count)\t\(best / .seconds(1))")
    }
  }

  /// Prints a line at once, though a pipe would buffer it.
  private static func answer(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
  }
}
