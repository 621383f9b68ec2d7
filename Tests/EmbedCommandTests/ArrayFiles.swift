// Arrays that a test writes to its folder, and reads back.

import EmbedKernel
import Foundation
import TestSupport

extension TemporaryFolder {
  /// Writes an array and gives its path.
  func array<Element: FileElement>(
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

extension TemporaryFolder {
  /// Runs `embedkernel` on words in which names of files stand for files of this folder.
  func run(_ words: String) throws -> CommandResult {
    let endings = [".npy", ".npz", ".safetensors"]
    return try embedkernel(
      words.split(separator: " ").map { word in
        let isFile = endings.contains { word.hasSuffix($0) || word.contains($0 + ":") }
        return isFile && !word.hasPrefix("/") ? path(String(word)) : String(word)
      })
  }
}

/// The elements of a file of any type.
func elements<Element: FileElement>(
  _ path: String, as type: Element.Type = Element.self
) throws -> (shape: [Int], elements: [Element]) {
  let array = try NumPyArray<Element>(contentsOf: path)
  return (array.shape, array.span.indices.map { array.span[$0] })
}

/// All bytes of a file.
func fileBytes(_ path: String) throws -> [UInt8] {
  Array(try Data(contentsOf: URL(filePath: path)))
}
