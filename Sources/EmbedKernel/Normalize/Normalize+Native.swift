// The fused layer in C, for every backend: those but `native` take the portable set.

internal import CMicrokernels

extension NativeKernels {
  static func normalize(_ tile: EmbedTile, _ pass: NormalizePass, gathered: Bool, _ plan: Plan) {
    var c = unsafe ek_normalize_tile(tile, pass, gathered: gathered)
    unsafe plan.kernels.pointee.normalize_f32.unsafelyUnwrapped(&c)
  }

  static func normalizeGradient(
    _ tile: EmbedTile, _ pass: NormalizeGradientPass, _ sums: ParameterSums, gathered: Bool,
    _ plan: Plan
  ) {
    var c = unsafe ek_normalize_gradient_tile(
      forward: ek_normalize_tile(tile, pass.forward, gathered: gathered),
      gradient: pass.gradient + tile.first * tile.dim, gamma: sums.gamma, beta: sums.beta,
      segments: sums.segments)
    unsafe plan.kernels.pointee.normalize_gradient_f32.unsafelyUnwrapped(&c)
  }
}

extension ek_normalize_tile {
  @inline(__always)
  fileprivate init(_ tile: EmbedTile, _ pass: NormalizePass, gathered: Bool) {
    let (norm, mask) = (pass.norm, pass.dropout)
    unsafe self.init(
      rows: ek_embed_tile(tile, gathered: gathered), segments: gathered ? nil : pass.segments,
      segment_ids: pass.segmentIDs.map {
        unsafe $0.base + tile.first * ($0.isWide ? 8 : 4)
      }, gamma: norm.gamma, beta: norm.beta, epsilon: norm.epsilon,
      kind: ek_normalization(norm.kind),
      dropout: ek_dropout(
        key: mask.key, stream: mask.stream, threshold: mask.threshold, scale: mask.scale),
      first: UInt64(tile.first))
  }
}

extension ek_embed_tile {
  /// With `gathered`, the sums lie in the output and are read from there.
  @inline(__always)
  init(_ tile: EmbedTile, gathered: Bool) {
    let token = tile.first
    let output = unsafe tile.output + token * tile.dim
    unsafe self.init(
      tokens: gathered ? UnsafePointer(output) : tile.tokens,
      positions: gathered ? nil : tile.positions, position_ids: tile.positionIDs,
      ids: gathered ? nil : tile.ids.base + token * (tile.ids.isWide ? 8 : 4), output: output,
      outer: ek_loop(tile.outer), inner: ek_loop(tile.inner), dim: tile.dim,
      prefetch_rows: tile.traffic.prefetchRows, scale: gathered ? 1 : tile.scale,
      id_bytes: tile.ids.isWide ? 8 : 4, streaming: tile.traffic.streaming && !gathered)
  }
}

extension ek_loop {
  fileprivate init(_ loop: EmbedTile.Loop) {
    self.init(count: loop.count, tokens: loop.tokens, positions: loop.positions)
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
