// Feeds one parser with bytes until an input traps, hangs, takes too much memory or gives two answers.
//
//   FuzzProbe --list                       the parsers' names
//   FuzzProbe NAME [LIBFUZZER'S FLAG...] [FOLDER...]
//   FuzzProbe NAME FILE...                 reads these files once each
//
// scripts/fuzz builds it with libFuzzer and the sanitizers, and runs it. Built otherwise it has no
// libFuzzer, and reads the files and folders that it is given once.

import CFuzzDriver
import Foundation

@main enum FuzzProbe {
  /// The parser that this process feeds. libFuzzer calls a C function, which cannot capture it; set once
  /// before that begins.
  nonisolated(unsafe) private static var chosen = parsers[0]

  static func main() throws {
    let words = CommandLine.arguments
    guard words.count > 1 else { throw Failure("which parser? --list names them") }
    if words[1] == "--list" { return print(parsers.map(\.name).joined(separator: "\n")) }
    guard let parser = parsers.first(where: { $0.name == words[1] }) else {
      throw Failure("no parser is called '\(words[1])'; --list names them")
    }
    unsafe chosen = parser
    let status = unsafe withArguments([words[0]] + words.dropFirst(2)) { count, words in
      unsafe fuzz_driver_run(count, words) { bytes, count in
        unsafe FuzzProbe.chosen.read([UInt8](UnsafeBufferPointer(start: bytes, count: count)))
        return 0
      }
    }
    if status > 0 { exit(status) }
    if status < 0 { try replay(words.dropFirst(2).filter { !$0.hasPrefix("-") }, by: parser) }
  }

  /// Reads each file, and each of a folder, once.
  private static func replay(_ paths: [String], by parser: Parser) throws {
    var count = 0
    for path in paths {
      let isFolder = (try? FileManager.default.contentsOfDirectory(atPath: path)) != nil
      let names = isFolder ? try FileManager.default.contentsOfDirectory(atPath: path).sorted() : []
      for file in isFolder ? names.map({ "\(path)/\($0)" }) : [path] {
        parser.read([UInt8](try Data(contentsOf: URL(filePath: file))))
        count += 1
      }
    }
    guard count > 0 else { throw Failure("no files to read, and no libFuzzer to make inputs") }
    print("\(parser.name): \(count) inputs")
  }

  /// Words as C takes them; they outlive the call, for libFuzzer keeps them.
  @unsafe private static func withArguments(
    _ words: [String], _ body: (CInt, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> CInt
  ) -> CInt {
    let pointers = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(
      capacity: words.count + 1)
    for (i, word) in words.enumerated() { unsafe pointers[i] = strdup(word) }
    unsafe pointers[words.count] = nil
    return unsafe body(CInt(words.count), pointers)
  }
}

/// What was wrong with the command line.
struct Failure: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}
