// What the backward tests share: a random batch with its positions, every way to run it, and the
// reference's result.

import EmbedKernel
import ReferenceKernels
import TestSupport
import Testing

/// A batch drawn at random, with positions of any kind.
struct BackwardBatch: CustomStringConvertible {
  let seed: UInt64
  let shape: EmbeddingShape
  var ids: [Int]
  let place: PositionIDs
  let kind: String
  let places: [Int]
  let maximum: Int
  var gradient: [Float]

  var description: String { "seed \(seed), \(shape), \(kind) positions" }

  /// - Parameters:
  ///   - hotShare: How many of the tokens have one id.
  ///   - values: Draws the output gradient.
  init(
    _ random: inout SeededGenerator, seed: UInt64, shape: EmbeddingShape, hotShare: Double = 0,
    kind: Int, values: (inout SeededGenerator, Int) -> [Float] = { $0.floats($1) }
  ) {
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    let (batch, context) = (shape.batch, shape.context)
    let count = batch * context
    let hot = pick(0...shape.vocabulary - 1)
    ids = (0..<count).map { _ in
      Double.random(in: 0..<1, using: &random) < hotShare ? hot : pick(0...shape.vocabulary - 1)
    }
    let maximum = max(1, count, context) + pick(0...4)
    switch kind % 6 {
    case 0:
      let offset = pick(0...maximum - context)
      places = (0..<count).map { offset + $0 % context }
      (place, self.kind) = (.sequential(offset: offset), "sequential")
    case 1:
      let offsets = (0..<batch).map { _ in pick(0...maximum - context) }
      places = (0..<count).map { offsets[$0 / context] + $0 % context }
      (place, self.kind) = (.offsets(offsets.map { Int32($0) }), "offset")
    case 2:
      places = (0..<count).map { _ in pick(0...min(maximum - 1, 5)) }
      (place, self.kind) = (.explicit(places.map { Int32($0) }), "explicit")
    case 3:
      let row = (0..<context).map { _ in pick(0...maximum - 1) }
      places = (0..<count).map { row[$0 % context] }
      (place, self.kind) = (.explicit(row.map { Int32($0) }), "shared explicit")
    case 4:
      let cuts = [0] + (0..<pick(0...5)).map { _ in pick(0...count) }.sorted() + [count]
      places = (0..<count).map { token in token - (cuts.last { $0 <= token } ?? 0) }
      (place, self.kind) = (.packed(cumulativeLengths: cuts.map { Int32($0) }), "packed")
    default:
      let mask = (0..<count).map { _ in UInt8(pick(0...3) == 0 ? 0 : 1) }
      places = (0..<count).map { token in
        mask[token] == 0
          ? 0 : mask[token / context * context..<token].reduce(0) { $0 + Int($1) }
      }
      (place, self.kind) = (.mask(mask), "masked")
    }
    self.seed = seed
    self.shape = shape
    self.maximum = maximum
    gradient = values(&random, count * shape.dim)
  }

  /// The same batch with another output gradient.
  func replacing(gradient: [Float]) -> BackwardBatch {
    var batch = self
    batch.gradient = gradient
    return batch
  }

  /// The same batch with other ids.
  func replacing(ids: [Int]) -> BackwardBatch {
    var batch = self
    batch.ids = ids
    return batch
  }

  /// The token table's rows that tokens belong to.
  func rowOfToken(_ options: BackwardOptions) -> [Int?] {
    ids.map { $0 == options.paddingID ? nil : $0 }
  }
}

extension Summation {
  var referenceOrder: ReferenceOrder {
    switch self {
    case .chunked: .tree(leaf: 64)
    case .pairwise: .tree(leaf: 8)
    case .compensated: .compensated
    }
  }
}

/// The results of a call, dense.
struct BackwardResult: Equatable {
  var tokens: [Float]
  var positions: [Float]
}

extension BackwardBatch {
  func reference(
    _ options: BackwardOptions, tokens: [Float], positions: [Float], _ writing: GradientWriting
  ) -> BackwardResult {
    let order = options.summation.referenceOrder
    let factor = options.scale * options.gradientScale
    let accumulates = writing == .accumulate
    let zeros = { (values: [Float]) in accumulates ? values : values.map { _ in 0 } }
    return BackwardResult(
      tokens: Reference.backward(
        gradient, rowOfToken: rowOfToken(options), onto: zeros(tokens), dim: shape.dim,
        accumulates: accumulates, order: order
      ) { options.frequencyScaling == .none ? factor : factor / Float($0) },
      positions: Reference.backward(
        gradient, rowOfToken: places, onto: zeros(positions), dim: shape.dim,
        accumulates: accumulates, order: order
      ) { _ in options.gradientScale })
  }

  /// Runs the batch into dense buffers that start `misalignment` floats past a 64-byte boundary.
  func dense(
    _ way: Way, _ options: BackwardOptions, tokens: [Float], positions: [Float],
    _ writing: GradientWriting, misalignment: Int = 0, _ workspace: inout BackwardWorkspace
  ) throws -> BackwardResult {
    let canary = Float(bitPattern: 0x7FC0_BEEF)
    func copy(_ values: [Float]) throws -> AlignedBuffer<Float> {
      let buffer = try AlignedBuffer<Float>(count: misalignment + values.count + 32)
      unsafe buffer.unsafeBuffer.update(repeating: canary)
      for i in 0..<values.count { unsafe buffer.unsafeBuffer[misalignment + i] = values[i] }
      return buffer
    }
    func part(
      _ buffer: borrowing AlignedBuffer<Float>, _ count: Int
    ) -> UnsafeMutableBufferPointer<Float> {
      unsafe UnsafeMutableBufferPointer(
        rebasing: buffer.unsafeBuffer[misalignment..<misalignment + count])
    }
    let tokenBuffer = try copy(tokens)
    let positionBuffer = try copy(positions)
    let input = try copy(gradient)
    let wide = ids.map { Int64($0) }
    try unsafe wide.withUnsafeBufferPointer { ids in
      try unsafe way.kernels.backward(
        UnsafeBufferPointer(part(input, gradient.count)), TokenIDs(ids), shape, place, options,
        .dense(part(tokenBuffer, tokens.count), writing),
        .dense(part(positionBuffer, positions.count), writing), &workspace)
    }
    for i in 0..<32
    where tokenBuffer[misalignment + tokens.count + i].bitPattern != canary.bitPattern
      || positionBuffer[misalignment + positions.count + i].bitPattern != canary.bitPattern
    {
      Issue.record("\(way) wrote past a gradient of \(self)")
    }
    return unsafe BackwardResult(
      tokens: Array(part(tokenBuffer, tokens.count)),
      positions: Array(part(positionBuffer, positions.count)))
  }

  /// Runs the batch into row-sparse gradients, and spreads these.
  func rowSparse(
    _ way: Way, _ options: BackwardOptions, _ workspace: inout BackwardWorkspace
  ) throws -> BackwardResult {
    var tokens = try RowSparseGradient(rows: shape.vocabulary, dim: shape.dim)
    var positions = try RowSparseGradient(rows: maximum, dim: shape.dim)
    let narrow = ids.map { Int32($0) }
    try unsafe gradient.withUnsafeBufferPointer { gradient in
      try unsafe narrow.withUnsafeBufferPointer { ids in
        try unsafe way.kernels.backward(
          gradient, TokenIDs(ids), shape, place, options, .rowSparse(&tokens),
          .rowSparse(&positions), &workspace)
      }
    }
    return BackwardResult(tokens: spread(tokens), positions: spread(positions))
  }
}

/// A row-sparse gradient as a dense one; checks that its rows rise.
func spread(_ gradient: borrowing RowSparseGradient) -> [Float] {
  var dense = [Float](repeating: 0, count: gradient.rows * gradient.dim)
  let (rows, values) = (gradient.rowIDs, gradient.values)
  for i in 0..<gradient.count {
    if i > 0 { #expect(rows[i] > rows[i - 1]) }
    for k in 0..<gradient.dim {
      dense[Int(rows[i]) * gradient.dim + k] = values[i * gradient.dim + k]
    }
  }
  return dense
}
