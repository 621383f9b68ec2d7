// Where a test keeps its files, and what it writes there and reads back.

import EmbedKernel
import Foundation

/// A folder of its own for a test, gone when the value goes.
final class Folder: Sendable {
  private let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appending(path: "embedkernel-\(UUID())")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(at: url) }

  func path(_ name: String) -> String { url.appending(path: name).path }

  var contents: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: url.path).sorted() }
  }

  /// Writes a file and gives its path.
  func file(_ name: String, _ text: String) throws -> String {
    try Data(text.utf8).write(to: URL(filePath: path(name)))
    return path(name)
  }

  /// Writes an array and gives its path.
  func array<Element: NumPyElement>(
    _ name: String, _ elements: [Element], _ shape: [Int]
  ) throws -> String {
    try NumPyFile.write(elements.span, shape: shape, to: path(name))
    return path(name)
  }
}

/// A float32 file's shape and elements.
func floats(_ path: String) throws -> (shape: [Int], elements: [Float]) {
  let array = try NumPyArray<Float>(contentsOf: path)
  return (array.shape, (0..<array.count).map { array.span[$0] })
}
