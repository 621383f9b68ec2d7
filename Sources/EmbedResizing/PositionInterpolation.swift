// Stretching a trained position table to another number of places.

public import EmbedKernel

/// How the rows of a stretched position table come from the old ones.
public enum PositionInterpolation: String, CaseIterable, Sendable {
  /// On the line between the two nearest rows.
  case linear

  /// On the cubic through four rows whose slope at a row is that between its neighbours (Keys,
  /// "Cubic Convolution Interpolation for Digital Image Processing", 1981, with a = -1/2): smooth,
  /// exact on quadratics, and on straight lines up to the ends, where a row past the table continues
  /// the line through the last two.
  case cubic
}

extension EmbeddingTable<Float> {
  /// A table of `rows` rows by interpolation between this table's rows; the first and the last row
  /// stay what they are.
  ///
  /// Row r of the result stands at place r·(old - 1)/(new - 1) of this table, computed in Double.
  ///
  /// - Throws: `invalidSize` for less than one row, `sizeOverflow`, `outOfMemory`.
  public func interpolated(
    rows newRows: Int, by interpolation: PositionInterpolation = .linear
  ) throws(EmbedError) -> EmbeddingTable<Float> {
    let result = try EmbeddingTable<Float>(rows: newRows, dim: dim)
    unsafe interpolateRows(
      UnsafeBufferPointer(unsafeBuffer), rows: rows, dim: dim, into: result.unsafeBuffer, newRows,
      by: interpolation)
    return result
  }
}

/// Fills `result`, shape `[newRows, dim]`, from `old`, shape `[rows, dim]`.
func interpolateRows(
  _ old: UnsafeBufferPointer<Float>, rows: Int, dim: Int,
  into result: UnsafeMutableBufferPointer<Float>, _ newRows: Int,
  by interpolation: PositionInterpolation
) {
  let step = newRows > 1 ? Double(rows - 1) / Double(newRows - 1) : 0
  for row in 0..<newRows {
    let place = min(Double(row) * step, Double(rows - 1))
    let below = min(Int(saturating: place), max(0, rows - 2))
    let t = place - Double(below)
    let above = min(below + 1, rows - 1)
    for i in 0..<dim {
      let (a, b) = unsafe (Double(old[below * dim + i]), Double(old[above * dim + i]))
      var value = a + t * (b - a)
      if interpolation == .cubic {
        // Rows past the ends continue the line through the last two.
        let before = unsafe below > 0 ? Double(old[(below - 1) * dim + i]) : 2 * a - b
        let after = unsafe above + 1 < rows ? Double(old[(above + 1) * dim + i]) : 2 * b - a
        // What the cubic adds to the line between a and b.
        let (bendA, bendB) = (before - 2 * a + b, a - 2 * b + after)
        value -= 0.5 * t * (1 - t) * ((1 - t) * bendA + t * bendB)
      }
      unsafe result[row * dim + i] = Float(value)
    }
  }
}
