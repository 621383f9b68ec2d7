// The fused layer in C, for every backend: the same walk as the plain forward's.

internal import CKernels

extension NormalizeCall {
  /// Runs the call by the plan's C kernels.
  ///
  /// - Parameter gathered: Whether x is in the output already.
  func run(gathered: Bool, _ plan: Plan) {
    let work = NativeNormalize(
      call: self, walk: EmbedWalk(rows), gathered: gathered, plan: plan)
    Threads.split(work.walk.count, plan.threads, work)
  }

  /// The C record of a tile.
  @inline(__always)
  fileprivate func record(_ rows: ek_embed_tile, _ first: Int, gathered: Bool) -> ek_normalize_tile
  {
    unsafe ek_normalize_tile(
      rows: gathered ? rows.gathered : rows, segments: gathered ? nil : segments,
      segment_ids: segmentIDs.map { unsafe $0.address(first) }, gamma: norm.gamma,
      beta: norm.beta, epsilon: norm.epsilon, kind: ek_normalization(norm.kind),
      dropout: ek_dropout(
        key: dropout.key, stream: dropout.stream, threshold: dropout.threshold,
        scale: dropout.scale), first: UInt64(first))
  }
}

private struct NativeNormalize: ParallelWork {
  let call: NormalizeCall
  let walk: EmbedWalk
  let gathered: Bool
  let plan: Plan

  func run(_ range: Range<Int>) {
    let byPosition = plan.traffic.prefetchRows > 0
    walk.forEachTile(in: range, plan.traffic, byPosition: byPosition) { first, rows in
      var tile = unsafe call.record(rows, first, gathered: gathered)
      unsafe plan.kernels.pointee.normalize(&tile)
    }
  }
}

extension NormalizeGradientCall {
  /// Runs the call by the plan's C kernels, a chunk at a time.
  func run(gathered: Bool, _ plan: Plan) {
    let work = NativeNormalizeGradient(
      call: self, walk: EmbedWalk(forward.rows), gathered: gathered, plan: plan)
    Threads.split(layout.chunks, plan.threads, work)
  }
}

private struct NativeNormalizeGradient: ParallelWork {
  let call: NormalizeGradientCall
  let walk: EmbedWalk
  let gathered: Bool
  let plan: Plan

  func run(_ range: Range<Int>) {
    let (layout, count) = (call.layout, walk.count)
    for chunk in range {
      let sums = unsafe call.partials + chunk * layout.stride
      unsafe sums.update(repeating: 0, count: layout.count)
      let tokens = chunk * count / layout.chunks..<(chunk + 1) * count / layout.chunks
      // The order of tokens in a chunk is part of the sums' definition.
      walk.forEachTile(in: tokens, plan.traffic, byPosition: true) { first, rows in
        var tile = unsafe ek_normalize_gradient_tile(
          forward: call.forward.record(rows, first, gathered: gathered),
          gradient: call.gradient + first * call.forward.dim,
          gamma: layout.gamma.map { unsafe sums + $0 }, beta: layout.beta.map { unsafe sums + $0 },
          segments: layout.segments.map { unsafe sums + $0 })
        unsafe plan.kernels.pointee.normalize_gradient(&tile)
      }
    }
  }
}

extension ek_embed_tile {
  /// The same tokens, whose sums lie in the output and are read from there.
  fileprivate var gathered: ek_embed_tile {
    var tile = self
    unsafe tile.tokens = UnsafePointer(output)
    unsafe tile.positions = nil
    unsafe tile.ids = nil
    tile.scale = 1
    tile.streaming = false
    return tile
  }
}

extension ek_normalization {
  fileprivate init(_ kind: NormKind) {
    switch kind {
    case .none: self = EK_NO_NORM
    case .layer: self = EK_LAYER_NORM
    case .rootMeanSquare: self = EK_RMS_NORM
    }
  }
}
