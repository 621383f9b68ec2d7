// Arrays that a test writes to its folder, and reads back.

import EmbedKernel
import Foundation
import TestSupport

extension TemporaryFolder {
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
