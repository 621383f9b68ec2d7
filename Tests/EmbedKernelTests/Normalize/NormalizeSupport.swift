// What the tests of the fused layer share: random layers and batches, their sums and masks by plain
// loops, and running them.

import EmbedKernel
import ReferenceKernels
import TestSupport
import Testing

/// A layer and a batch, drawn at random.
struct NormalizeCase: CustomStringConvertible {
  let seed: UInt64
  let shape: EmbeddingShape
  let layer: FusedInputEmbedding<Float>
  let norm: ReferenceNorm
  let ids: [Int32]
  let segmentIDs: [Int32]?
  let place: PositionIDs
  let placeKind: String
  let step: UInt64?

  var description: String {
    "seed \(seed), \(shape), \(norm), \(placeKind) positions, scale \(layer.embedding.options.scale)"
      + ", segments \(layer.segments?.rows ?? 0), dropout \(step == nil ? 0 : rate)"
  }

  var rate: Float { layer.dropout?.rate ?? 0 }
  var tokenCount: Int { ids.count }

  init(_ seed: UInt64, dim fixedDim: Int? = nil, small: Bool = false) throws {
    var random = SeededGenerator(seed: seed &* 7_919 &+ 3)
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    let dims = small ? [pick(1...9)] : [pick(1...40), pick(41...300), pick(600...1_100)]
    let dim = fixedDim ?? dims[pick(0...dims.count - 1)]
    let (batch, context) = [(1, pick(1...9)), (pick(1...9), 1), (pick(2...6), pick(2...9))][
      pick(0...2)]
    let tokens = batch * context
    let vocabulary = pick(2...20)
    let maximum = tokens + pick(1...3)
    switch pick(0...6) {
    case 0: (place, placeKind) = (.sequential(offset: pick(0...maximum - context)), "sequential")
    case 1:
      let offsets = (0..<batch).map { _ in Int32(pick(0...maximum - context)) }
      (place, placeKind) = (.offsets(offsets), "offset")
    case 2:
      let ids = (0..<tokens).map { _ in Int32(pick(0...maximum - 1)) }
      (place, placeKind) = (.explicit(ids), "explicit")
    case 3:
      let ids = (0..<context).map { _ in Int32(pick(0...maximum - 1)) }
      (place, placeKind) = (.explicit(ids), "shared explicit")
    case 4:
      let cuts = [0] + (0..<pick(0...4)).map { _ in pick(0...tokens) }.sorted() + [tokens]
      (place, placeKind) = (.packed(cumulativeLengths: cuts.map { Int32($0) }), "packed")
    case 5:
      (place, placeKind) = (.mask((0..<tokens).map { _ in UInt8(pick(0...2)) }), "masked")
    default: (place, placeKind) = (.sequential(), "sequential")
    }
    func table(_ rows: Int, _ low: Float, _ high: Float) throws -> EmbeddingTable<Float> {
      try EmbeddingTable<Float>(
        rows: rows, dim: dim, .uniform(low: low, high: high), seed: random.next())
    }
    let positions = pick(0...4) == 0 ? nil : try table(maximum, -1, 1)
    let segments = pick(0...1) == 0 ? nil : try table(pick(1...3), -1, 1)
    let embedding = try InputEmbedding(
      tokens: TokenEmbedding(table: table(vocabulary, -2, 2)), positions: positions,
      scale: [.one, .sqrtDim, .value(-0.7)][pick(0...2)])
    norm = [.none, .layer, .layer, .rootMeanSquare][pick(0...3)]
    let normalization: Normalization? =
      switch norm {
      case .none: nil
      case .layer:
        try Normalization(
          .layer, gamma: table(1, 0.5, 1.5), beta: pick(0...3) == 0 ? nil : table(1, -1, 1),
          epsilon: 1e-5)
      case .rootMeanSquare:
        try Normalization(.rootMeanSquare, gamma: table(1, 0.5, 1.5), epsilon: 1e-6)
      }
    let dropout =
      pick(0...1) == 0 ? nil : try Dropout(rate: [0.1, 0.5, 0.9][pick(0...2)], seed: random.next())
    layer = try FusedInputEmbedding(
      embedding, segments: segments, normalization: normalization, dropout: dropout)
    step = pick(0...3) == 0 ? nil : UInt64(pick(0...1_000))
    self.seed = seed
    shape = EmbeddingShape(vocabulary: vocabulary, batch: batch, context: context, dim: dim)
    ids = (0..<tokens).map { _ in Int32(pick(0...vocabulary - 1)) }
    segmentIDs =
      segments == nil || pick(0...3) == 0
      ? nil : (0..<tokens).map { _ in Int32(pick(0...(segments?.rows ?? 1) - 1)) }
  }

  /// The position of each token.
  var places: [Int] {
    var places = [Int](repeating: 0, count: tokenCount)
    place.withPlaces(context: shape.context) { runs in
      runs.forEachRun(context: shape.context, in: 0..<tokenCount) { start, count, position in
        for k in 0..<count { places[start + k] = position + k }
      }
    }
    return places
  }

  /// The rows' sums in Float, rounded as stated.
  var sums: [Float] {
    var x = Reference.embed(
      ids: ids.map { Int($0) }, tokens: floats(layer.embedding.tokens.table),
      positions: layer.embedding.positions.map { floats($0) }, places: places, dim: shape.dim,
      scale: layer.embedding.options.scale)
    if let segments = layer.segments.map({ floats($0) }) {
      for i in 0..<x.count {
        x[i] += segments[Int(segmentIDs?[i / shape.dim] ?? 0) * shape.dim + i % shape.dim]
      }
    }
    return x
  }

  /// Which elements are kept: their words by one block of Philox at a time.
  var kept: [Bool]? {
    guard let step, let dropout = layer.dropout else { return nil }
    let (dim, groups) = (shape.dim, (shape.dim + 63) / 64)
    let generator = Philox4x32(seed: dropout.seed)
    return (0..<tokenCount * dim).map { element in
      let (n, i) = element.quotientAndRemainder(dividingBy: dim)
      let block = generator.block(
        UInt64((n * groups + i / 64) * 16 + i % 16), stream: 1 << 63 + step)
      return Double(block[i / 16 % 4]) >= (Double(dropout.rate) * 0x1p32).rounded()
    }
  }

  /// The output, to the bit.
  var expected: [Float] {
    let normalization = layer.normalization
    return Reference.normalize(
      sums, norm, gamma: normalization.map { floats($0.gamma) } ?? [],
      beta: normalization?.beta.map { floats($0) }, epsilon: normalization?.epsilon ?? 0,
      kept: kept, dropoutScale: Float(1 / (1 - Double(rate))), dim: shape.dim)
  }

  func forward(_ way: Way, misalignment: Int = 0) throws -> [Float] {
    let count = tokenCount * shape.dim
    var buffer = [Float](repeating: .nan, count: count + misalignment + 32)
    try unsafe buffer.withUnsafeMutableBufferPointer { buffer in
      // From a 64-byte boundary on, so that the misalignment means what it says.
      let address = UInt(bitPattern: buffer.baseAddress)
      let start = Int((64 - address % 64) % 64) / 4 + misalignment
      guard start + count <= buffer.count else { return }
      let output = unsafe UnsafeMutableBufferPointer(rebasing: buffer[start..<start + count])
      try withIDs { ids, segmentIDs in
        try unsafe layer.forward(
          ids, segmentIDs, shape, place, step, Elements(UnsafeBufferPointer(output)),
          way.kernels)
      }
      for i in 0..<count { unsafe buffer[i] = output[i] }
    }
    return Array(buffer[..<count])
  }

  func backward(
    _ gradient: [Float], _ way: Way, into result: inout FusedEmbeddingGradient
  ) throws {
    try unsafe gradient.withUnsafeBufferPointer { gradient in
      try withIDs { ids, segmentIDs in
        try unsafe layer.backward(
          gradient, ids, segmentIDs, shape, place, step, &result, way.kernels)
      }
    }
  }

  private func withIDs(_ body: (TokenIDs, TokenIDs?) throws -> Void) throws {
    try unsafe ids.withUnsafeBufferPointer { ids in
      guard let segmentIDs else { return try unsafe body(TokenIDs(ids), nil) }
      try unsafe segmentIDs.withUnsafeBufferPointer { try unsafe body(TokenIDs(ids), TokenIDs($0)) }
    }
  }
}

func floats(_ table: EmbeddingTable<Float>) -> [Float] { unsafe Array(table.unsafeBuffer) }

func floats(_ span: Span<Float>) -> [Float] { (0..<span.count).map { span[$0] } }

/// All gradients of a backward, one after another.
func floats(_ gradient: borrowing FusedEmbeddingGradient) -> [Float] {
  floats(gradient.rows) + floats(gradient.gamma) + floats(gradient.beta)
    + floats(gradient.segments)
}
