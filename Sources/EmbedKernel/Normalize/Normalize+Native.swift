// The fused layer in C, for every backend: the same walk as the plain forward's.

internal import CKernels

extension NormalizeCall {
  /// Runs the call by the plan's C kernels.
  ///
  /// - Parameter sums: x of all rows, where it has been gathered; it may be where the output goes.
  func run(from sums: UnsafePointer<Float>?, _ plan: Plan) {
    let work = unsafe NativeNormalize(call: self, walk: EmbedWalk(rows), sums: sums, plan: plan)
    Threads.split(work.walk.count, plan.threads, work)
  }

  /// The C record of a tile.
  @inline(__always)
  fileprivate func record(
    _ tile: ek_embed_tile, _ first: Int, _ sums: UnsafePointer<Float>?
  ) -> ek_normalize_tile {
    let x = unsafe sums.map { unsafe $0 + first * dim }
    return unsafe ek_normalize_tile(
      rows: x.map { unsafe tile.gathered($0) } ?? tile, segments: x == nil ? segments : nil,
      segment_ids: segmentIDs.map { unsafe $0.address(first) }, gamma: norm.gamma,
      beta: norm.beta, epsilon: norm.epsilon, kind: ek_normalization(norm.kind),
      dropout: ek_dropout(
        key: dropout.key, stream: dropout.stream, threshold: dropout.threshold,
        scale: dropout.scale), first: UInt64(first), input: x == nil ? rows.input.code : EK_F32,
      output: rows.written.code)
  }
}

@safe private struct NativeNormalize: ParallelWork {
  let call: NormalizeCall
  let walk: EmbedWalk
  let sums: UnsafePointer<Float>?
  let plan: Plan

  func run(_ range: Range<Int>) {
    walk.forEachTile(in: range, plan.traffic, byPosition: plan.traffic.byPosition) { first, rows in
      var tile = unsafe call.record(rows, first, sums)
      unsafe plan.kernels.pointee.normalize(&tile)
    }
  }
}

extension NormalizeGradientCall {
  /// Runs the call by the plan's C kernels, a chunk at a time.
  func run(from sums: UnsafePointer<Float>?, _ plan: Plan) {
    let work = unsafe NativeNormalizeGradient(
      call: self, walk: EmbedWalk(forward.rows), sums: sums, plan: plan)
    Threads.split(layout.chunks, plan.threads, work)
  }
}

@safe private struct NativeNormalizeGradient: ParallelWork {
  let call: NormalizeGradientCall
  let walk: EmbedWalk
  let sums: UnsafePointer<Float>?
  let plan: Plan

  func run(_ range: Range<Int>) {
    let (layout, count) = (call.layout, walk.count)
    for chunk in range {
      let partial = unsafe call.partials + chunk * layout.stride
      unsafe partial.update(repeating: 0, count: layout.count)
      let tokens = chunk * count / layout.chunks..<(chunk + 1) * count / layout.chunks
      // The order of tokens in a chunk is part of the sums' definition.
      walk.forEachTile(in: tokens, plan.traffic, byPosition: true) { first, rows in
        var tile = unsafe ek_normalize_gradient_tile(
          forward: call.forward.record(rows, first, sums),
          gradient: call.gradient + first * call.forward.dim,
          gamma: layout.gamma.map { unsafe partial + $0 },
          beta: layout.beta.map { unsafe partial + $0 },
          segments: layout.segments.map { unsafe partial + $0 })
        unsafe plan.kernels.pointee.normalize_gradient(&tile)
      }
    }
  }
}

extension ek_embed_tile {
  /// The same tokens, whose sums lie at `sums`.
  fileprivate func gathered(_ sums: UnsafePointer<Float>) -> ek_embed_tile {
    var tile = self
    unsafe tile.tokens = sums
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
