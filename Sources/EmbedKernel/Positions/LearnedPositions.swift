// Learned absolute positions: a trained row for each place, as in GPT-2 and BERT.

extension AbsolutePositions {
  /// A trained row for each of `maximum` places (GPT-2: 1,024 rows of normal(0, 0.02)).
  ///
  /// Such a table knows no place past its last row: by default asking for one is an error.
  /// `EmbeddingTable.interpolated(rows:)` stretches a trained table to a longer context.
  public static func learned(
    maximum: Int, initialization: Initialization = .normal(sigma: 0.02),
    overflow: PositionOverflow = .error
  ) -> AbsolutePositions {
    AbsolutePositions(name: "learned", isTrained: true, overflow: overflow) {
      (dim, seed) throws(EmbedError) in
      try EmbeddingTable(
        rows: maximum, dim: dim, initialization, seed: seed, stream: RandomStream.positions)
    }
  }
}

extension EmbeddingTable {
  /// A table of `rows` rows by linear interpolation between this table's rows; the first and the
  /// last row stay what they are.
  ///
  /// Row r of the result stands at place r·(old - 1)/(new - 1) of this table, computed in Double.
  ///
  /// - Throws: `invalidSize` for less than one row, `sizeOverflow`, `outOfMemory`.
  public func interpolated(rows newRows: Int) throws(EmbedError) -> EmbeddingTable {
    let result = try EmbeddingTable(rows: newRows, dim: dim)
    let step = newRows > 1 ? Double(rows - 1) / Double(newRows - 1) : 0
    for row in 0..<newRows {
      let place = min(Double(row) * step, Double(rows - 1))
      let below = min(Int(place), max(0, rows - 2))
      let share = place - Double(below)
      for i in 0..<dim {
        let (a, b) = (self[below][i], self[min(below + 1, rows - 1)][i])
        let value = Double(a) + share * (Double(b) - Double(a))
        unsafe result.unsafeBuffer[row * dim + i] = Float(value)
      }
    }
    return result
  }
}
