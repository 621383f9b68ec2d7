// Learned absolute positions: a trained row for each place, as in GPT-2 and BERT.

extension AbsolutePositions {
  /// A trained row for each of `maximum` places (GPT-2: 1,024 rows of normal(0, 0.02)).
  ///
  /// Such a table knows no place past its last row: by default asking for one is an error.
  /// `EmbeddingTable.interpolated(rows:by:)` of EmbedResizing stretches a trained table to a longer context.
  public static func learned(
    maximum: Int, initialization: Initialization = .normal(sigma: 0.02),
    overflow: PositionOverflow = .error
  ) -> AbsolutePositions {
    AbsolutePositions(name: "learned", isTrained: true, overflow: overflow) {
      (dim, seed) throws(EmbedError) in
      try EmbeddingTable<Float>(
        rows: maximum, dim: dim, initialization, seed: seed, stream: RandomStream.positions)
    }
  }
}
