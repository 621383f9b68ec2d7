// One backward call of the fused layer. Chunks of the forward's walk each go to parameter sums of their
// own, which are then added in order: the bits are the same for every number of threads.

/// A checked backward call: `forward.rows.output` is where d(x) goes, shape `[N, dim]`.
@safe package struct NormalizeGradientCall {
  let forward: NormalizeCall
  /// d(output), shape `[N, dim]`.
  let gradient: UnsafePointer<Float>
  /// A partial sum of the parameter gradients for each chunk.
  let partials: UnsafeMutablePointer<Float>
  let layout: PartialLayout
}

/// How a chunk's parameter gradients lie: gamma, beta and segments, one after another.
struct PartialLayout {
  let chunks: Int
  /// Floats from one chunk to the next.
  let stride: Int
  let gamma: Int?
  let beta: Int?
  let segments: Int?
  /// The floats in use.
  let count: Int

  /// The number of chunks follows from the shape alone, so that sums are the same for every number
  /// of threads: some 64 tokens a chunk at least, 64 chunks and 32 MiB at most.
  init(walk: EmbedWalk, tokens: Int, dim: Int, norm: NormParameters, segments: Int) {
    var end = 0
    func place(_ exists: Bool, _ count: Int) -> Int? {
      guard exists else { return nil }
      defer { end += count }
      return end
    }
    gamma = unsafe place(norm.gamma != nil, dim)
    beta = unsafe place(norm.beta != nil, dim)
    self.segments = place(segments > 0, segments * dim)
    count = end
    stride = (end + 15) & ~15
    chunks = max(1, min(64, walk.count, tokens / 64, (8 << 20) / max(stride, 1)))
  }
}

/// target[i] += partials[0][i] + partials[1][i] + ..., the chunks in order
@safe struct AddPartials: ParallelWork {
  let target: UnsafeMutablePointer<Float>
  let partials: UnsafePointer<Float>
  let layout: PartialLayout

  func run(_ range: Range<Int>) {
    for i in range {
      var sum = unsafe partials[i]
      var at = i
      for _ in 1..<layout.chunks {
        at &+= layout.stride
        unsafe sum += partials[at]
      }
      unsafe target[i] += sum
    }
  }
}
