// The tokenizer's half of scripts/reference/compare_tiktoken.py. It answers lines on standard input,
// so that the script can take turns with it:
//
//     TEXT TARGET     encodes the file TEXT from memory, three times; writes the ids to TARGET as
//                     uint32; prints the ids' count and the fastest time in seconds, or what is wrong
//                     with the text
//     TEXT TARGET THREADS CLOCK
//                     the same by a new tokenizer, six times, and prints the time of the first, which
//                     nothing is cached for, after the fastest of the others. CLOCK is wall, or cpu for
//                     the calling thread's own time
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
    let start = seconds("wall")
    var tokenizer = try load()
    answer("\(seconds("wall") - start)")
    while let line = readLine() {
      let fields = line.split(separator: "\t").map(String.init)
      guard fields.count == 2 || fields.count == 4 else {
        answer("expected a text and a target, and threads and a clock or neither")
        continue
      }
      let isFresh = fields.count == 4
      let threads = isFresh ? Int(fields[2]) : 1
      let clock = isFresh ? fields[3] : "wall"
      if isFresh { tokenizer = try load() }
      let text = [UInt8](try Data(contentsOf: URL(fileURLWithPath: fields[0])))
      var ids: [Int32] = []
      var times: [Double] = []
      do throws(DataError) {
        for _ in 0..<(isFresh ? 6 : 3) {
          ids = []
          let start = seconds(clock)
          try tokenizer.encode(text.span, threads: threads, into: &ids)
          times.append(seconds(clock) - start)
        }
      } catch {
        answer("error: \(error)")
        continue
      }
      let writer = try TokenFileWriter(path: fields[1], width: .uint32)
      try writer.append(ids.span)
      try writer.finish()
      let fastest = times.dropFirst(isFresh ? 1 : 0).min() ?? 0
      answer("\(ids.count)\t\(fastest)" + (isFresh ? "\t\(times[0])" : ""))
    }
  }

  /// The tokenizer of the files that the command line names.
  private static func load() throws -> BytePairTokenizer {
    let arguments = CommandLine.arguments.dropFirst()
    switch (arguments.count, arguments.first) {
    case (2, _):
      return try BytePairTokenizer(encoder: arguments[1], merges: arguments[2])
    case (1, .some(let path)):
      return try BytePairTokenizer(vocabulary: path)
    default:
      FileHandle.standardError.write(
        Data("usage: TokenizerPeer ENCODER MERGES, or TokenizerPeer VOCABULARY\n".utf8))
      exit(2)
    }
  }

  /// Seconds by a clock.
  private static func seconds(_ clock: String) -> Double {
    var time = timespec()
    unsafe clock_gettime(clock == "cpu" ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  /// Prints a line at once, though a pipe would buffer it.
  private static func answer(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
  }
}
