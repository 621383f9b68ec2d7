// What the tuner's calls run on: a table of GPT-2's size, read at any dim, and ids that pick rows all
// over it.

internal import EmbedKernel

/// Tables, ids and output for calls of any size up to `largestOutput`.
@safe final class TunerMemory {
  static let largestOutput = 64 << 20
  private static let rounds = 8
  private static let batch = 8

  private let table: AlignedBuffer<Float>
  private let positions: AlignedBuffer<Float>
  private let output: AlignedBuffer<Float>
  private let picks: [UInt32]
  private var ids: AlignedBuffer<Int32>
  private var shape = EmbeddingShape(vocabulary: 1, batch: 1, context: 1, dim: 1)
  private var call = 0

  /// Allocates some 290 MB.
  init() throws(EmbedError) {
    table = try AlignedBuffer(count: 50_257 * 768)
    positions = try AlignedBuffer(count: Self.largestOutput / 4 / Self.batch)
    output = try AlignedBuffer(count: Self.largestOutput / 4)
    ids = try AlignedBuffer(count: 0)
    // Written, as pages that never were are all one page, which caches hold.
    unsafe table.unsafeBuffer.update(repeating: 0.5)
    unsafe positions.unsafeBuffer.update(repeating: 0.25)
    unsafe output.unsafeBuffer.update(repeating: 0)
    let generator = Philox4x32(seed: 3)
    picks = (0..<1 << 16).map { generator.block(UInt64($0)).x }
  }

  /// Makes ready for calls with an output of about `bytes`, in rows of `dim` floats.
  func prepare(outputBytes bytes: Int, dim: Int) throws(EmbedError) {
    let context = max(1, bytes / (4 * dim * Self.batch))
    shape = EmbeddingShape(
      vocabulary: table.count / dim, batch: Self.batch, context: context, dim: dim)
    ids = try AlignedBuffer(count: Self.rounds * Self.batch * context)
    for i in 0..<ids.count {
      // A multiplier without a factor of two, so that a long list repeats no short one.
      let pick = UInt64(picks[i % picks.count]) &+ UInt64(i / picks.count) &* 0x9E37_79B1
      ids[i] = Int32(pick % UInt64(shape.vocabulary))
    }
    call = 0
  }

  /// Runs a forward call; each takes the next of eight lists of ids.
  func embed(_ kernels: Kernels, _ tuning: Tuning) throws(EmbedError) {
    let count = shape.batch * shape.context
    let start = call % Self.rounds * count
    call += 1
    var kernels = kernels
    kernels.tuning = tuning
    let batch = unsafe UnsafeBufferPointer(rebasing: ids.unsafeBuffer[start..<start + count])
    let tokens = unsafe UnsafeBufferPointer(
      rebasing: table.unsafeBuffer[..<(shape.vocabulary * shape.dim)])
    let places = unsafe UnsafeBufferPointer(
      rebasing: positions.unsafeBuffer[..<(shape.context * shape.dim)])
    var rows = unsafe UnsafeMutableBufferPointer(
      rebasing: output.unsafeBuffer[..<(count * shape.dim)])
    try unsafe kernels.embed(
      ids: batch, tokens: tokens, positions: places, shape: shape, into: &rows)
  }
}
