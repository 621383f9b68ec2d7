// The plain loops that every fast kernel is held to. Nothing here is clever, on purpose.

/// The oracle of tests and benchmarks.
public enum Reference {
  /// output[n, :] = scale * tokens[ids[n], :] + positions[places[n], :]
  ///
  /// - Parameters:
  ///   - ids: N rows of the token table.
  ///   - positions: Position table; nil adds none.
  ///   - places: N rows of the position table.
  public static func embed(
    ids: [Int], tokens: [Float], positions: [Float]?, places: [Int], dim: Int, scale: Float = 1
  ) -> [Float] {
    var output = [Float](repeating: 0, count: ids.count * dim)
    for n in 0..<ids.count {
      for i in 0..<dim {
        let product = tokens[ids[n] * dim + i] * scale
        if let positions {
          output[n * dim + i] = product + positions[places[n] * dim + i]
        } else {
          output[n * dim + i] = product
        }
      }
    }
    return output
  }
}
