// Which scale the cached keys of each sequence were rotated under. With dynamic NTK or LongRoPE the
// angles depend on a sequence's length, so keys that were cached under another scale are stale: they
// must be rescaled or computed anew.

/// The scale under which each sequence's cached keys were rotated.
public struct RotaryScales: Hashable, Sendable {
  /// One a sequence.
  public private(set) var scales: [RotaryScale]

  private var isEmpty: [Bool]

  /// Sequences with nothing cached, whose first scale cannot be stale.
  public init(sequences: Int) {
    scales = Array(repeating: .trained, count: max(0, sequences))
    isEmpty = Array(repeating: true, count: max(0, sequences))
  }

  /// Whether keys cached under `scale` do not fit a sequence of `length` tokens.
  public static func isStale(
    _ scale: RotaryScale, _ embedding: RotaryEmbedding, length: Int
  ) -> Bool {
    embedding.scaling.scale(length: length) != scale
  }

  /// Takes the scales for sequences that now have `lengths` tokens.
  ///
  /// - Returns: For each sequence the scale of its cached keys if they are stale, else nil.
  /// - Throws: `wrongElementCount` where there are not as many lengths as sequences.
  public mutating func advance(
    _ embedding: RotaryEmbedding, lengths: [Int]
  ) throws(EmbedError) -> [RotaryScale?] {
    guard lengths.count == scales.count else {
      throw .wrongElementCount(
        argument: "lengths", expected: scales.count, shape: [scales.count], actual: lengths.count)
    }
    var stale: [RotaryScale?] = []
    for (sequence, length) in lengths.enumerated() {
      let scale = embedding.scaling.scale(length: length)
      stale.append(isEmpty[sequence] || scales[sequence] == scale ? nil : scales[sequence])
      scales[sequence] = scale
      isEmpty[sequence] = length <= 0
    }
    return stale
  }

  /// Forgets what sequence `sequence` has cached.
  ///
  /// - Throws: `invalidSize` where it is none of the sequences.
  public mutating func clear(sequence: Int) throws(EmbedError) {
    guard scales.indices.contains(sequence) else {
      throw .invalidSize(
        argument: "sequence", value: sequence, expected: "below the number of them, \(scales.count)"
      )
    }
    scales[sequence] = .trained
    isEmpty[sequence] = true
  }
}
