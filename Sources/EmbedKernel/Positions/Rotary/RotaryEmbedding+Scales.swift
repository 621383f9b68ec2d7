// A scale for each sequence of a batch: with dynamic NTK or LongRoPE the angles depend on a
// sequence's length, so sequences of one batch may need different ones, and keys that were cached
// under another scale are stale: they must be rescaled or computed anew.

/// The scale under which each sequence's cached keys were rotated.
public struct RotaryScales: Hashable, Sendable {
  /// One a sequence.
  public private(set) var scales: [RotaryScale]

  /// Sequences with nothing cached, whose first scale cannot be stale.
  public init(sequences: Int) {
    scales = Array(repeating: .trained, count: max(0, sequences))
    isEmpty = Array(repeating: true, count: max(0, sequences))
  }

  private var isEmpty: [Bool]

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
  /// - Precondition: `sequence` is one of the sequences.
  public mutating func clear(sequence: Int) {
    scales[sequence] = .trained
    isEmpty[sequence] = true
  }
}

extension RotaryEmbedding {
  /// Rotates a batch whose sequences have a scale each, in place.
  ///
  /// - Parameters:
  ///   - offsets: The position of each sequence's first token, shape `[batch]`.
  ///   - scales: One a sequence.
  /// - Throws: `EmbedError`, before anything is written.
  public func rotate(
    inPlace tensor: inout MutableSpan<Float>, shape: RotaryShape, offsets: [Int32],
    scales: [RotaryScale], _ direction: RotaryDirection = .forward,
    as role: RotaryRole = .queries, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try Self.check(tensor.count, shape, headDim: headDim, "tensor")
    for (argument, count) in [("offsets", offsets.count), ("scales", scales.count)]
    where count != shape.batch {
      throw .wrongElementCount(
        argument: argument, expected: shape.batch, shape: [shape.batch], actual: count)
    }
    _ = try length(.offsets(offsets), batch: shape.batch, context: shape.context)
    var states: [RotaryState] = []
    for (scale, offset) in zip(scales, offsets) {
      let state = try state(scale, role)
      try state.reserve(Int(offset) + shape.context)
      states.append(state)
    }
    let buffer = unsafe tensor.withUnsafeMutableBufferPointer { unsafe $0 }
    try unsafe rotate(buffer, shape, offsets, states, direction, kernels)
  }

  /// Turns cached keys that were rotated under one scale into what they are under another, in place.
  ///
  /// Exact up to the rounding of the cached keys; the keys need not be computed anew.
  ///
  /// - Parameters:
  ///   - keys: Rotated keys of one or more sequences.
  ///   - place: The positions they were rotated by.
  /// - Throws: `EmbedError`, before anything is written. Allocates the angles.
  public func rescale(
    _ keys: inout MutableSpan<Float>, shape: RotaryShape, at place: PositionIDs = .sequential(),
    from old: RotaryScale, to new: RotaryScale, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try Self.check(keys.count, shape, headDim: headDim, "keys")
    _ = try length(place, batch: shape.batch, context: shape.context)
    let state = try change(from: old, to: new)
    let buffer = unsafe keys.withUnsafeMutableBufferPointer { unsafe $0 }
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      try unsafe run(
        state, places, coordinates: nil, shape, .forward, UnsafeBufferPointer(buffer), buffer,
        kernels)
    }
  }

  private func rotate(
    _ buffer: UnsafeMutableBufferPointer<Float>, _ shape: RotaryShape, _ offsets: [Int32],
    _ states: [RotaryState], _ direction: RotaryDirection, _ kernels: Kernels
  ) throws(EmbedError) {
    var one = shape
    one.batch = 1
    let count = shape.sequenceStride
    for (sequence, state) in states.enumerated() where count > 0 {
      let part = unsafe UnsafeMutableBufferPointer(
        rebasing: buffer[sequence * count..<(sequence + 1) * count])
      try unsafe run(
        state, .sequential(offset: Int(offsets[sequence])), coordinates: nil, one, direction,
        UnsafeBufferPointer(part), part, kernels)
    }
  }
}
