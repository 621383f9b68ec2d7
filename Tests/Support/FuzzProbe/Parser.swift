// A parser as the fuzzer sees it: a name, and a function of bytes.

import EmbedKernel
import Foundation

/// Something that reads bytes from outside.
struct Parser: Sendable {
  let name: String
  private let body: @Sendable (Input) throws -> Void

  init(_ name: String, _ body: @escaping @Sendable (Input) throws -> Void) {
    self.name = name
    self.body = body
  }

  /// Reads an input. An error is an answer, and must be able to say what it is.
  func read(_ bytes: [UInt8]) {
    do {
      try body(Input(bytes: bytes))
    } catch {
      precondition(!"\(error)".isEmpty, "an error without words")
    }
  }
}

/// An input, as whatever a parser takes.
struct Input {
  let bytes: [UInt8]

  var text: String { String(decoding: bytes, as: UTF8.self) }

  /// A file with these bytes. There is one at a time.
  func file(_ name: String = "input") throws -> String { try Self.file(bytes[...], name) }

  /// Files of the parts between bytes of zero; those that are missing are empty.
  func files(_ names: String...) throws -> [String] {
    let parts = bytes.split(
      separator: 0, maxSplits: names.count - 1, omittingEmptySubsequences: false)
    return try names.enumerated().map { i, name in
      try Self.file(i < parts.count ? parts[i] : [], name)
    }
  }

  private static func file(_ bytes: ArraySlice<UInt8>, _ name: String) throws -> String {
    let path = "\(folder)/\(name)"
    try Data(bytes).write(to: URL(filePath: path))
    return path
  }

  /// A folder of this process. scripts/fuzz says where, and removes it.
  private static let folder: String = {
    let path = NSTemporaryDirectory() + "/fuzz-\(ProcessInfo.processInfo.processIdentifier)"
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }()
}

/// Ends the process where two ways to read the same bytes do not agree.
func require(_ isTrue: Bool, _ message: @autoclosure () -> String) {
  if !isTrue { fatalError(message()) }
}
