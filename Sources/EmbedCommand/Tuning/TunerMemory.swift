// What the tuner's calls run on: a table of GPT-2's size, read at any dim, and ids that pick rows all
// over it.

internal import EmbedKernel

/// What is measured.
enum TunedWork {
  case forward
  /// A row-sparse gradient of tokens.
  case rowSparse
  /// A gradient added to dense memory.
  case dense
}

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
  private var workspace: BackwardWorkspace
  private var gradient: RowSparseGradient
  private var shape = EmbeddingShape(vocabulary: 1, batch: 1, context: 1, dim: 1)
  private var call = 0

  /// Allocates some 290 MB.
  init() throws(EmbedError) {
    table = try AlignedBuffer(count: 50_257 * 768)
    positions = try AlignedBuffer(count: Self.largestOutput / 4 / Self.batch)
    output = try AlignedBuffer(count: Self.largestOutput / 4)
    ids = try AlignedBuffer(count: 0)
    workspace = try BackwardWorkspace()
    gradient = try RowSparseGradient(rows: 1, dim: 1)
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
    if gradient.dim != dim {
      gradient = try RowSparseGradient(rows: shape.vocabulary, dim: dim)
    }
  }

  /// Runs a call; each takes the next of eight lists of ids.
  func run(_ work: TunedWork, _ kernels: Kernels, _ tuning: Tuning) throws(EmbedError) {
    let count = shape.batch * shape.context
    let start = call % Self.rounds * count
    call += 1
    var kernels = kernels
    kernels.tuning = tuning
    let batch = unsafe UnsafeBufferPointer(rebasing: ids.unsafeBuffer[start..<start + count])
    switch work {
    case .forward: try unsafe embed(kernels, batch, count)
    case .rowSparse, .dense:
      let rows = unsafe UnsafeBufferPointer(
        rebasing: output.unsafeBuffer[..<(count * shape.dim)])
      try unsafe backward(kernels, batch, rows, work, &gradient, &workspace)
    }
  }

  /// Sums the output as a gradient: to rows of its own, or into the table, of which nothing is read.
  private func backward(
    _ kernels: Kernels, _ batch: UnsafeBufferPointer<Int32>, _ rows: UnsafeBufferPointer<Float>,
    _ work: TunedWork, _ gradient: inout RowSparseGradient, _ workspace: inout BackwardWorkspace
  ) throws(EmbedError) {
    if work == .rowSparse {
      try unsafe kernels.backward(
        rows, ids: batch, shape: shape, tokens: .rowSparse(&gradient), positions: .none,
        workspace: &workspace)
    } else {
      let target = unsafe UnsafeMutableBufferPointer(
        rebasing: table.unsafeBuffer[..<(shape.vocabulary * shape.dim)])
      try unsafe kernels.backward(
        rows, ids: batch, shape: shape, tokens: .dense(target, .accumulate), positions: .none,
        workspace: &workspace)
    }
  }

  private func embed(
    _ kernels: Kernels, _ batch: UnsafeBufferPointer<Int32>, _ count: Int
  ) throws(EmbedError) {
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
